//! The look of log lines: text for a terminal, one JSON object a line for machines; both
//! with the trace's identity.
#![expect(clippy::disallowed_methods, reason = "complaints are spaced out by the clock")]

use std::fmt::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::TraceContext;

/// How often the export of spans may complain: a collector that is down would have every
/// service complain every few seconds.
const EXPORT_COMPLAINTS: Duration = Duration::from_secs(60);

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Writes events; says in JSON which service speaks.
#[derive(Debug)]
pub(super) struct Lines {
    look: Look,
    service: &'static str,
    id: String,
    complained: Mutex<Option<Instant>>,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if event.metadata().target().starts_with("opentelemetry") && !self.may_complain() {
            return Ok(());
        }
        match self.look {
            Look::Text => text(&mut writer, event),
            Look::Json => self.json(&mut writer, event),
        }
    }
}

impl Lines {
    pub(super) fn new(look: Look, service: &'static str, id: String) -> Self {
        Self { look, service, id, complained: Mutex::new(None) }
    }

    fn may_complain(&self) -> bool {
        let mut last = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        let may = last.is_none_or(|last| last.elapsed() >= EXPORT_COMPLAINTS);
        if may {
            *last = Some(Instant::now());
        }
        may
    }

    fn json(&self, writer: &mut Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = Map::new();
        event.record(&mut JsonFields(&mut line));
        let mut put = |key: &str, value: String| line.insert(key.to_owned(), Value::String(value));
        put("timestamp", timestamp());
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

/// The time now, in UTC, as RFC 3339 has it: that of logs and events.
#[must_use]
pub fn timestamp() -> String {
    let mut time = String::new();
    SystemTime.format_time(&mut Writer::new(&mut time)).expect("writing to a string");
    time
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

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(look: Look, speak: impl FnOnce()) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let lines = Lines::new(look, "replica", "replica-1".into());
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .event_format(lines);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), speak);
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn text_is_one_line_whatever_a_client_sent() {
        let text = logged(Look::Text, || {
            tracing::warn!(key = "a\n\x1b[31mb", slot = 7, "odd {}", "key\n2026 ERROR fake")
        });
        let (time, rest) = text.split_once(' ').unwrap();
        assert!(time.ends_with('Z'), "{time}");
        assert_eq!(
            rest,
            " WARN shared::telemetry::log::tests: odd key 2026 ERROR fake key=\"a\\n\\u{1b}[31mb\" \
             slot=7\n"
        );
    }

    #[test]
    fn json_is_one_object_a_line_with_typed_fields_and_the_trace() {
        let context = TraceContext { trace_id: [0x11; 16], span_id: [0x22; 8], flags: 0 };
        let text = logged(Look::Json, || {
            let _guard = context.to_context().attach();
            tracing::info!(slot = 7, held = true, ratio = 0.5, behind = -1, key = "a\nb", error = %"no", "chosen");
        });
        let mut json: Value = serde_json::from_str(&text).unwrap();
        assert!(json["timestamp"].take().is_string());
        let expected = serde_json::json!({
            "timestamp": null, "level": "INFO", "target": "shared::telemetry::log::tests", "service": "replica", "id": "replica-1",
            "message": "chosen", "slot": 7, "held": true, "ratio": 0.5, "behind": -1, "key": "a\nb", "error": "no",
            "trace_id": "11111111111111111111111111111111", "span_id": "2222222222222222",
        });
        assert_eq!(json, expected);
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn a_collector_that_is_down_is_complained_of_now_and_then() {
        let text = logged(Look::Text, || {
            for _ in 0..5 {
                tracing::error!(target: "opentelemetry_sdk", "export failed");
            }
        });
        assert_eq!(text.lines().count(), 1);
    }
}
