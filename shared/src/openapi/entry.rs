//! An entry of the contract: one method of one path.

use std::collections::BTreeSet;
use std::time::Duration;

use http::{HeaderValue, header};
use serde_json::{Map, Value, json};

use super::content::{self, Content, Schemas};
use super::field::{self, Field};
use crate::ids::{LeaseId, Revision};
use crate::problem::{self, Holder, Outcome, Problem};
use crate::query::{Kind, Parameter};

/// What may be asked for, and what is answered.
#[derive(Debug)]
pub struct Entry {
    /// In lower case.
    pub method: &'static str,
    /// With its parameters in braces.
    pub path: &'static str,
    id: &'static str,
    summary: &'static str,
    parameters: Vec<Value>,
    takes: Vec<Content>,
    answers: Vec<Answer>,
    refusals: BTreeSet<u16>,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    what: &'static str,
    contents: Vec<Content>,
    fields: Vec<Field>,
}

/// Refusals that any request may meet: at the edge, and for now.
const ANY: [u16; 11] = [400, 401, 403, 408, 421, 429, 431, 500, 501, 503, 504];

impl Entry {
    /// What a service says of itself.
    #[must_use]
    pub fn own(
        method: &'static str,
        path: &'static str,
        (id, summary): (&'static str, &'static str),
    ) -> Self {
        let (parameters, takes, answers) = (Vec::new(), Vec::new(), Vec::new());
        let refusals = BTreeSet::from(ANY);
        Self { method, path, id, summary, parameters, takes, answers, refusals }
    }

    /// With a parameter in the path.
    #[must_use]
    pub fn of(mut self, parameter: Parameter) -> Self {
        self.parameters.push(required("path", &parameter));
        self
    }

    /// With parameters that may not be left out.
    #[must_use]
    pub fn needs(mut self, parameters: &[Parameter]) -> Self {
        self.parameters.extend(parameters.iter().map(|parameter| required("query", parameter)));
        self
    }

    /// With parameters that may be left out.
    #[must_use]
    pub fn query(mut self, parameters: &[Parameter]) -> Self {
        self.parameters.extend(parameters.iter().map(|parameter| rendered("query", parameter)));
        self
    }

    /// With header fields that may be left out.
    #[must_use]
    pub fn headers(mut self, fields: &[Parameter]) -> Self {
        self.parameters.extend(fields.iter().map(|field| rendered("header", field)));
        self
    }

    /// With one of these bodies.
    #[must_use]
    pub fn takes(mut self, contents: impl Into<Vec<Content>>) -> Self {
        self.takes = contents.into();
        self.refused(&[413])
    }

    /// Answers so, in one of these types.
    #[must_use]
    pub fn answers(
        mut self,
        status: u16,
        what: &'static str,
        contents: impl Into<Vec<Content>>,
    ) -> Self {
        self.answers.push(Answer { status, what, contents: contents.into(), fields: Vec::new() });
        self
    }

    /// Says these fields on its answers so far, where they apply.
    #[must_use]
    pub fn says(mut self, fields: &[Field]) -> Self {
        self.answers.iter_mut().for_each(|answer| answer.fields.extend(fields));
        self
    }

    fn takes_parameter(&self, name: &str) -> bool {
        self.parameters.iter().any(|parameter| parameter["name"] == name)
    }

    /// The fields that come of what may be asked for.
    fn fields_of_parameters(&self) -> Vec<Field> {
        let of = [
            ("consistency", field::LAG),
            ("limit", field::LINK),
            ("Idempotency-Key", field::REPLAYED),
        ];
        let taken = of.into_iter().filter(|(name, _)| self.takes_parameter(name));
        taken.map(|(_, field)| field).collect()
    }

    /// May be refused so.
    #[must_use]
    pub fn refused(mut self, statuses: &[u16]) -> Self {
        self.refusals.extend(statuses);
        self
    }

    /// As the document has it.
    pub(super) fn rendered(&self, schemas: &mut Schemas) -> Value {
        let mut responses = Map::new();
        for status in &self.refusals {
            responses.insert(status.to_string(), self.rendered_refusal(*status, schemas));
        }
        for Answer { status, what, contents, fields } in &self.answers {
            let always = [field::TRACE_ID, field::REVISION];
            let of_parameters = self.fields_of_parameters();
            let fields = always.iter().chain(&of_parameters).chain(fields);
            let mut response = json!({"description": what, "headers": field::rendered(fields)});
            if !contents.is_empty() {
                response["content"] = schemas.rendered(contents).into();
            }
            responses.insert(status.to_string(), response);
        }
        let mut rendered = json!({
            "operationId": self.id, "summary": self.summary, "parameters": self.parameters,
            "responses": responses,
        });
        if !self.takes.is_empty() {
            let content = schemas.rendered(&self.takes);
            rendered["requestBody"] = json!({"required": true, "content": content});
        }
        rendered
    }

    fn rendered_refusal(&self, status: u16, schemas: &mut Schemas) -> Value {
        let refusal = refusal(status);
        let body = refusal.body();
        let content = schemas.rendered(&[content::json(body).called(problem::CONTENT_TYPE)]);
        let mut fields = vec![field::TRACE_ID, field::REVISION];
        fields.extend(field::of(refusal.to_http().headers()));
        let is_kept = matches!(status, 400 | 404 | 409 | 410 | 412 | 413);
        if is_kept && self.takes_parameter("Idempotency-Key") {
            fields.push(field::REPLAYED);
        }
        let headers = field::rendered(&fields);
        json!({"description": body.title, "headers": headers, "content": content})
    }
}

fn required(place: &str, parameter: &Parameter) -> Value {
    let mut rendered = rendered(place, parameter);
    rendered["required"] = json!(true);
    rendered
}

fn rendered(place: &str, parameter: &Parameter) -> Value {
    let Parameter { name, kind, most, example } = parameter;
    let (mut schema, mut example) = match kind {
        Kind::Text(0, usize::MAX) => (json!({"type": "string"}), json!(example)),
        Kind::Text(least, most) => {
            let schema = json!({"type": "string", "minLength": least, "maxLength": most});
            (schema, json!(example))
        }
        Kind::Pattern(pattern) => (json!({"type": "string", "pattern": pattern}), json!(example)),
        Kind::OneOf(words) => (json!({"type": "string", "enum": words}), json!(example)),
        Kind::Number(least) => {
            let example: u64 = example.parse().expect("the example of a number is one");
            (json!({"type": "integer", "minimum": least}), json!(example))
        }
        Kind::Flag => (json!({"type": "boolean"}), json!(*example == "true")),
    };
    if *most > 1 {
        schema = json!({"type": "array", "items": schema, "maxItems": most});
        example = json!([example]);
    }
    json!({"name": name, "in": place, "schema": schema, "example": example})
}

/// What a refusal of this status may be.
fn refusal(status: u16) -> Problem {
    let revision = Revision(42);
    match status {
        400 => Problem::bad_request("query parameter \"limit\" is \"x\", not a whole number"),
        401 => Problem::unauthorized("a token is required: send Authorization: Bearer SECRET"),
        403 => Problem::foreign_origin("pages of other origins may ask nothing here"),
        404 => {
            Problem::not_found("there is no key \"app/web\" at revision 42").with_revision(revision)
        }
        408 => Problem::slow_header(Duration::from_secs(10)),
        409 => Problem::lock_conflict(
            "lease 41 holds the lock, since revision 42",
            Some(Holder { lease: LeaseId(41), fence: revision }),
        ),
        410 => Problem::compacted("revision 7 is compacted", revision),
        412 => Problem::precondition_failed("nothing was written: the key is at revision 42")
            .with_revision(revision)
            .with_header(header::ETAG, HeaderValue::from_static("\"42\""))
            .with_outcome(Outcome::NotApplied),
        413 => Problem::too_large("value", 1 << 20),
        415 => Problem::unsupported_media_type("the body is JSON"),
        416 => Problem::range_not_satisfiable("Range asks for none of the 4096 bytes")
            .with_header(header::CONTENT_RANGE, HeaderValue::from_static("bytes */4096")),
        421 => Problem::misdirected("example.org is not a name of this service"),
        422 => Problem::unprocessable("the Idempotency-Key was used for another request"),
        429 => Problem::too_many_requests("100 requests a second for each client"),
        431 => Problem::header_too_large("16384 bytes"),
        500 => Problem::internal("a defect"),
        501 => Problem::not_implemented("the transfer coding \"gzip\" is not known here"),
        502 => Problem::bad_gateway("replica-2 broke off").with_outcome(Outcome::Unknown),
        503 => Problem::no_quorum("no quorum of acceptors answers"),
        504 => Problem::timeout("not executed within 10 s").with_outcome(Outcome::Unknown),
        507 => {
            Problem::insufficient_storage("the disk is full").with_retry_after(problem::RETRY_AFTER)
        }
        other => unreachable!("no refusal has status {other}"),
    }
}
