//! An entry of the contract: one method of one path.

use serde_json::{Map, Value, json};

/// What may be asked for, and what is answered.
pub(super) struct Entry {
    pub(super) method: &'static str,
    pub(super) path: String,
    id: &'static str,
    summary: &'static str,
    parameters: Vec<Value>,
    body: Option<Value>,
    responses: Map<String, Value>,
}

/// Refusals that any request may meet: at the edge, and for now.
const ANY: [u16; 8] = [400, 403, 408, 421, 431, 500, 503, 504];

impl Entry {
    /// What a service says of itself.
    pub(super) fn own(
        method: &'static str,
        path: &str,
        (id, summary): (&'static str, &'static str),
    ) -> Self {
        let (parameters, body, responses) = (Vec::new(), None, Map::new());
        let entry =
            Self { method, path: path.to_owned(), id, summary, parameters, body, responses };
        entry.refused(&ANY)
    }

    /// What any request of the client API has.
    fn of_clients(self) -> Self {
        self.header("Synod-Timeout", time(), "2s")
            .header("Synod-Min-Revision", json!({"type": "integer", "minimum": 0}), 0)
            .header(
                "traceparent",
                json!({"type": "string", "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"}),
                TRACEPARENT,
            )
            .refused(&[502])
    }

    /// What reads the state.
    pub(super) fn read(
        method: &'static str,
        path: &str,
        named: (&'static str, &'static str),
    ) -> Self {
        let words = json!({"type": "string", "enum": ["linearizable", "local"]});
        Self::own(method, path, named).of_clients().query("consistency", words, "linearizable")
    }

    /// What changes the state, once however often it comes with the same key.
    pub(super) fn mutation(
        method: &'static str,
        path: &str,
        named: (&'static str, &'static str),
    ) -> Self {
        let key =
            json!({"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$"});
        Self::own(method, path, named)
            .of_clients()
            .header("Idempotency-Key", key, "deploy-42")
            .header("Synod-Fence", fence(), "jobs/nightly=42")
            .refused(&[412, 415, 422, 507])
    }

    /// With a parameter in the path.
    pub(super) fn path_parameter(mut self, name: &str, schema: Value, example: Value) -> Self {
        self.parameters.push(json!({
            "name": name, "in": "path", "required": true, "schema": schema, "example": example,
        }));
        self
    }

    fn parameter(mut self, place: &str, name: &str, schema: Value, example: Value) -> Self {
        self.parameters
            .push(json!({"name": name, "in": place, "schema": schema, "example": example}));
        self
    }

    /// With a parameter that may be left out.
    pub(super) fn query(self, name: &str, schema: Value, example: impl Into<Value>) -> Self {
        self.parameter("query", name, schema, example.into())
    }

    /// With a header that may be left out.
    pub(super) fn header(self, name: &str, schema: Value, example: impl Into<Value>) -> Self {
        self.parameter("header", name, schema, example.into())
    }

    /// With a body of this type.
    pub(super) fn takes(mut self, media_type: &str, schema: Value, example: Value) -> Self {
        let body = self.body.get_or_insert_with(|| json!({"required": true, "content": {}}));
        body["content"][media_type] = json!({"schema": schema, "example": example});
        self.refused(&[413])
    }

    /// Answers so, in one of these types.
    pub(super) fn answers(
        mut self,
        status: u16,
        what: &str,
        contents: &[(&str, Value, Value)],
    ) -> Self {
        let headers = json!({
            "Trace-Id": {"schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"}},
            "Synod-Revision": {"schema": {"type": "integer"}},
        });
        let mut response = json!({"description": what, "headers": headers});
        for (media_type, schema, example) in contents {
            response["content"][*media_type] = json!({"schema": schema, "example": example});
        }
        self.responses.insert(status.to_string(), response);
        self
    }

    /// May be refused so.
    pub(super) fn refused(mut self, statuses: &[u16]) -> Self {
        for status in statuses {
            let what = meaning(*status);
            let example = json!({
                "type": format!("urn:synod:problem:{}", what.replace(' ', "-").to_lowercase()),
                "title": what, "status": status, "detail": "what is wrong, with its values",
            });
            let schema = super::schemas::of("Problem");
            let content =
                json!({"application/problem+json": {"schema": schema, "example": example}});
            self.responses
                .entry(status.to_string())
                .or_insert_with(|| json!({"description": what, "content": content}));
        }
        self
    }

    pub(super) fn rendered(&self) -> Value {
        let Self { id, summary, parameters, body, responses, .. } = self;
        let mut rendered = json!({
            "operationId": id, "summary": summary, "parameters": parameters, "responses": responses,
        });
        if let Some(body) = body {
            rendered["requestBody"] = body.clone();
        }
        rendered
    }
}

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// How long something may take.
pub(super) fn time() -> Value {
    json!({"type": "string", "pattern": "^([1-9][0-9]{0,3}ms|[1-9]s)$"})
}

/// A condition on one key, by its ETag.
pub(super) fn condition() -> Value {
    json!({"type": "string", "pattern": "^\"[0-9]{1,9}\"$"})
}

/// A lock, and the revision since which it must be held.
fn fence() -> Value {
    json!({"type": "string", "pattern": "^[A-Za-z0-9/._-]{1,64}=[0-9]{1,9}$"})
}

fn meaning(status: u16) -> &'static str {
    match status {
        400 => "Bad request",
        403 => "Forbidden",
        404 => "Not found",
        408 => "Too slow",
        409 => "Conflict",
        410 => "Compacted",
        412 => "Precondition failed",
        413 => "Too large",
        415 => "Unsupported media type",
        416 => "Range not satisfiable",
        421 => "Misdirected request",
        422 => "Unprocessable",
        431 => "Header too large",
        500 => "Internal error",
        502 => "Bad gateway",
        503 => "Unavailable",
        504 => "Timeout",
        507 => "Insufficient storage",
        other => unreachable!("no refusal has status {other}"),
    }
}
