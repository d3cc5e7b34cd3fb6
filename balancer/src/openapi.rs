//! `GET /openapi.json`: the contract of the replica that answers it, and what the balancer
//! answers itself beside that.

use std::sync::LazyLock;

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::{Method, Response, StatusCode, header};
use serde_json::Value;
use shared::openapi::{add, document};
use shared::problem::Problem;

use crate::operator;

/// The longest document that is taken of a replica. Bytes.
const MOST: usize = 4 << 20;

/// What the balancer adds.
static OWN: LazyLock<Value> = LazyLock::new(|| document(operator::entries()));

/// What a replica has answered, with the balancer's own paths.
pub(crate) async fn with_own_paths(method: &Method, answer: Response<Body>) -> Response<Body> {
    if answer.status() != StatusCode::OK {
        return answer;
    }
    let (mut parts, body) = answer.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    if method == Method::HEAD {
        return Response::from_parts(parts, Body::empty());
    }
    match whole(body).await {
        Ok(document) => Response::from_parts(parts, Body::from(document)),
        Err(why) => {
            let why = format!("the replica's contract was not read: {why}");
            Problem::bad_gateway(why).to_http().map(Body::from)
        }
    }
}

async fn whole(body: Body) -> Result<Bytes, String> {
    let bytes = to_bytes(body, MOST).await.map_err(|error| error.to_string())?;
    let mut whole: Value = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    add(&mut whole, &OWN);
    Ok(whole.to_string().into())
}
