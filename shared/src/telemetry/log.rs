//! The look of log lines: text for a terminal, one JSON object a line for machines; both with the trace's identity.

use std::fmt::{self, Write as _};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::TraceContext;

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Writes events; says in JSON which service speaks.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    pub(super) look: Look,
    pub(super) service: &'static str,
    pub(super) id: String,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        match self.look {
            Look::Text => text(&mut writer, event),
            Look::Json => self.json(&mut writer, event),
        }
    }
}

impl Lines {
    fn json(&self, writer: &mut Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut line = Map::new();
        event.record(&mut JsonFields(&mut line));
        let mut put = |key: &str, value: String| line.insert(key.to_owned(), Value::String(value));
        put("timestamp", time);
        put("level", event.metadata().level().to_string());
        put("target", event.metadata().target().to_owned());
        put("service", self.service.to_owned());
        put("id", self.id.clone());
        if let Some(context) = TraceContext::current() {
            put("trace_id", context.trace_id_hex());
            put("span_id", opentelemetry::SpanId::from_bytes(context.span_id).to_string());
        }
        writeln!(writer, "{}", Value::Object(line))
    }
}

fn text(writer: &mut Writer<'_>, event: &Event<'_>) -> fmt::Result {
    SystemTime.format_time(writer)?;
    let (level, colour) = match *event.metadata().level() {
        Level::ERROR => ("ERROR", 31),
        Level::WARN => (" WARN", 33),
        Level::INFO => (" INFO", 32),
        Level::DEBUG => ("DEBUG", 34),
        Level::TRACE => ("TRACE", 35),
    };
    if writer.has_ansi_escapes() {
        write!(writer, " \x1b[{colour}m{level}\x1b[0m ")?;
    } else {
        write!(writer, " {level} ")?;
    }
    write!(writer, "{}:", event.metadata().target())?;
    let mut fields = TextFields { message: String::new(), rest: String::new() };
    event.record(&mut fields);
    write!(writer, "{}{}", fields.message, fields.rest)?;
    if let Some(context) = TraceContext::current() {
        write!(writer, " trace_id={}", context.trace_id_hex())?;
    }
    writeln!(writer)
}

struct TextFields {
    message: String,
    rest: String,
}

impl Visit for TextFields {
    fn record_str(&mut self, field: &Field, value: &str) {
        // Quoted, so that what a client sent cannot start a line of its own or colour it.
        if field.name() == "message" {
            self.record_debug(field, &format_args!("{value}"))
        } else {
            self.record_debug(field, &value)
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
        if field.name() == "message" {
            self.message.push(' ');
            self.message.extend(clean);
        } else {
            let _infallible = write!(self.rest, " {}=", field.name());
            self.rest.extend(clean);
        }
    }
}

struct JsonFields<'a>(&'a mut Map<String, Value>);

impl Visit for JsonFields<'_> {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), Value::from(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), Value::from(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), Value::from(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), Value::from(format!("{value:?}")));
    }
}
