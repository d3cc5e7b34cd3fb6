//! Which media type says what of a message.

use super::Encoding;

/// The version once, as a literal, so that the media type can be put together from it.
macro_rules! version {
    () => {
        1
    };
}

/// The version of the messages between the services.
///
/// Postcard does not describe itself: bytes of another version can be read as something
/// that nobody said. So every change of a message, be it one more field at the end, is a
/// new version; ARCHITECTURE.md tells how two of them get on with each other.
pub const VERSION: u32 = version!();

/// The media type of the compact binary encoding of messages of [`VERSION`].
pub const POSTCARD: &str = concat!("application/vnd.synod.v", version!(), "+postcard");
/// The media type of JSON.
pub const JSON: &str = "application/json";
/// What a service says that it can read, as the value of `Accept`.
pub const SPOKEN: &str =
    concat!("application/vnd.synod.v", version!(), "+postcard, application/json");

/// What a media type says of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// It is a message that is spoken here.
    Spoken(Encoding),
    /// It is a message between services, of another version than ours.
    OtherVersion(u32),
}

/// A media type without its parameters.
#[must_use]
pub fn essence_of(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

impl MediaType {
    /// Reads a media type; parameters such as `charset` are ignored. None where it is none
    /// of a message.
    #[must_use]
    pub fn of(value: &str) -> Option<Self> {
        let essence = essence_of(value);
        // What nearly all say, without a copy of it.
        if essence.eq_ignore_ascii_case(POSTCARD) {
            return Some(Self::Spoken(Encoding::Postcard));
        }
        if essence.eq_ignore_ascii_case(JSON) {
            return Some(Self::Spoken(Encoding::Json));
        }
        let essence = essence.to_ascii_lowercase();
        let digits = essence.strip_prefix("application/vnd.synod.v")?.strip_suffix("+postcard")?;
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        match digits.parse().ok().filter(|_| is_number)? {
            VERSION => Some(Self::Spoken(Encoding::Postcard)),
            other => Some(Self::OtherVersion(other)),
        }
    }
}
