# One image for every service: the `synod` binary and an empty data directory, nothing else.
#
#   docker compose build                         builds it from source (the default target, `synod`)
#   SYNOD_IMAGE_TARGET=prebuilt …compose build   takes a static binary built on the host from target/image/bin/synod
#
# `prebuilt` stands first because a builder without BuildKit builds every stage above the one that
# is asked for.

FROM scratch AS prebuilt
COPY target/image/bin/synod /bin/synod
COPY --chown=65532:65532 target/image/data /data
USER 65532:65532
ENTRYPOINT ["/bin/synod"]

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
# Linked statically, so that the final image needs no C library; named targets keep the flag away
# from build scripts.
RUN target="$(rustc -vV | sed -n 's/^host: //p')" \
 && RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --release --package cli --target "$target" \
 && mkdir -p /image/bin /image/data \
 && cp "target/$target/release/synod" /image/bin/synod

FROM scratch AS synod
COPY --from=build /image/bin/synod /bin/synod
COPY --from=build --chown=65532:65532 /image/data /data
USER 65532:65532
ENTRYPOINT ["/bin/synod"]
