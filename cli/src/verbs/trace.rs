//! `synod trace`: the way of a request, from what the services hold of it.

mod waterfall;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use client::Client;

use crate::endpoint::Endpoint;
use crate::output::{self, Format, Output};
use crate::{console, exit};

/// How long the last spans of a request that was just answered are waited for: backups
/// execute it after the answer.
const SETTLING: Duration = Duration::from_secs(1);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(60);

#[derive(clap::Args)]
pub(crate) struct Trace {
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    output: Output,
    /// The trace: 32 hexadecimal digits, as `Trace-Id` of an answer has them
    trace: String,
}

/// Prints what is still held of a trace.
pub(crate) async fn trace(args: Trace) -> anyhow::Result<ExitCode> {
    let trace = args.endpoint.client().trace(&args.trace).await?;
    print(&trace, args.output.format())?;
    if trace.spans.is_empty() {
        console::warn(format_args!(
            "synod: no service holds a span of {}\nhint: a request is surely recorded when its \
             traceparent says so (`synod put --trace`), and kept while the newest spans of a \
             service fit into --span-ring-bytes",
            output::printable(&args.trace)
        ));
        return Ok(ExitCode::from(exit::NOT_FOUND));
    }
    Ok(ExitCode::SUCCESS)
}

/// A trace that a request is to be recorded in.
pub(super) struct Drawn {
    pub(super) trace_id: String,
    span_id: u64,
}

impl Drawn {
    pub(super) fn new() -> Self {
        let trace_id = format!("{:032x}", rand::random::<u128>().max(1));
        Self { trace_id, span_id: rand::random::<u64>().max(1) }
    }

    /// As W3C Trace Context has it, with the flag "sampled".
    pub(super) fn traceparent(&self) -> String {
        format!("00-{}-{:016x}-01", self.trace_id, self.span_id)
    }
}

/// The trace of a write that was just answered, once it is whole or a second has passed.
pub(super) async fn settled(client: &Client, trace_id: &str) -> anyhow::Result<client::Trace> {
    let (began, mut before) = (Instant::now(), 0);
    loop {
        let trace = client.trace(trace_id).await?;
        let named = |name| trace.spans.iter().filter(|span| span.name == name).count();
        let is_whole = named("replica.batch") > 0 && named("replica.execute") > 0;
        let is_still = trace.spans.len() == before;
        if (is_whole && is_still) || began.elapsed() > SETTLING {
            return Ok(trace);
        }
        before = trace.spans.len();
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Prints a trace.
pub(super) fn print(trace: &client::Trace, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Json => output::json(trace),
        Format::Table => output::bytes(waterfall::drawn(trace).as_bytes()),
        Format::Plain => output::bytes(waterfall::lines(trace).as_bytes()),
    }
}
