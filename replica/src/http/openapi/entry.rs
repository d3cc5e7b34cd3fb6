//! An entry of the contract: one method of one path.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Map, Value, json};
use shared::ids::{LeaseId, Revision};
use shared::problem::{self, Holder, Outcome, Problem};

use super::content::{self, Content, Schemas};
use crate::http::authorize::NotAllowed;
use crate::http::request::parameter::{
    FENCE, IDEMPOTENCY_KEY, Kind, MIN_REVISION, Parameter, TIMEOUT, TRACEPARENT,
};
use crate::machine::access::authorize::Denied;

/// What may be asked for, and what is answered.
#[derive(Debug)]
pub(in crate::http) struct Entry {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
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
}

/// Refusals that any request may meet: at the edge, and for now.
const ANY: [u16; 9] = [400, 401, 403, 408, 421, 431, 500, 503, 504];

impl Entry {
    /// What a service says of itself.
    pub(in crate::http) fn own(
        method: &'static str,
        path: &'static str,
        (id, summary): (&'static str, &'static str),
    ) -> Self {
        let (parameters, takes, answers) = (Vec::new(), Vec::new(), Vec::new());
        let refusals = BTreeSet::from(ANY);
        Self { method, path, id, summary, parameters, takes, answers, refusals }
    }

    /// What reads the state.
    pub(in crate::http) fn read(
        method: &'static str,
        path: &'static str,
        named: (&'static str, &'static str),
    ) -> Self {
        let entry = Self::own(method, path, named);
        entry.headers(&[TIMEOUT, MIN_REVISION, TRACEPARENT]).refused(&[502])
    }

    /// What changes the state, once however often it comes with the same key.
    pub(in crate::http) fn mutation(
        method: &'static str,
        path: &'static str,
        named: (&'static str, &'static str),
    ) -> Self {
        let entry = Self::read(method, path, named);
        entry.headers(&[IDEMPOTENCY_KEY, FENCE]).refused(&[412, 415, 422, 507])
    }

    /// With a parameter in the path.
    pub(in crate::http) fn of(mut self, parameter: Parameter) -> Self {
        let mut rendered = rendered("path", &parameter);
        rendered["required"] = json!(true);
        self.parameters.push(rendered);
        self
    }

    /// With parameters that may be left out.
    pub(in crate::http) fn query(mut self, parameters: &[Parameter]) -> Self {
        self.parameters.extend(parameters.iter().map(|parameter| rendered("query", parameter)));
        self
    }

    /// With header fields that may be left out.
    pub(in crate::http) fn headers(mut self, fields: &[Parameter]) -> Self {
        self.parameters.extend(fields.iter().map(|field| rendered("header", field)));
        self
    }

    /// With one of these bodies.
    pub(in crate::http) fn takes(mut self, contents: impl Into<Vec<Content>>) -> Self {
        self.takes = contents.into();
        self.refused(&[413])
    }

    /// Answers so, in one of these types.
    pub(in crate::http) fn answers(
        mut self,
        status: u16,
        what: &'static str,
        contents: impl Into<Vec<Content>>,
    ) -> Self {
        self.answers.push(Answer { status, what, contents: contents.into() });
        self
    }

    /// May be refused so.
    pub(in crate::http) fn refused(mut self, statuses: &[u16]) -> Self {
        self.refusals.extend(statuses);
        self
    }

    /// As the document has it.
    pub(super) fn rendered(&self, schemas: &mut Schemas) -> Value {
        let mut responses = Map::new();
        for status in &self.refusals {
            responses.insert(status.to_string(), rendered_refusal(*status, schemas));
        }
        for Answer { status, what, contents } in &self.answers {
            let headers = json!({
                "Trace-Id": {"schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"}},
                "Synod-Revision": {"schema": {"type": "integer"}},
            });
            let mut response = json!({"description": what, "headers": headers});
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

fn rendered_refusal(status: u16, schemas: &mut Schemas) -> Value {
    let refusal = refusal(status);
    let body = refusal.body();
    let content = schemas.rendered(&[content::json(body).called(problem::CONTENT_TYPE)]);
    json!({"description": body.title, "content": content})
}

/// What a refusal of this status may be.
fn refusal(status: u16) -> Problem {
    let revision = Revision(42);
    match status {
        400 => Problem::bad_request("query parameter \"limit\" is \"x\", not a whole number"),
        401 => NotAllowed::from(Denied::NoToken).into(),
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
            .with_outcome(Outcome::NotApplied),
        413 => Problem::too_large("value", 1 << 20),
        415 => Problem::unsupported_media_type("the body is JSON"),
        416 => Problem::range_not_satisfiable("Range asks for none of the 4096 bytes"),
        421 => Problem::misdirected("example.org is not a name of this service"),
        422 => Problem::unprocessable("the Idempotency-Key was used for another request"),
        431 => Problem::header_too_large("16384 bytes"),
        500 => Problem::internal("a defect"),
        502 => Problem::bad_gateway("replica-2 broke off").with_outcome(Outcome::Unknown),
        503 => Problem::no_quorum("no quorum of acceptors answers"),
        504 => Problem::timeout("not executed within 10 s").with_outcome(Outcome::Unknown),
        507 => Problem::insufficient_storage("the disk is full"),
        other => unreachable!("no refusal has status {other}"),
    }
}
