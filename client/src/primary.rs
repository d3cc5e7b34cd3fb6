//! Who is primary, on request.

use http::Method;

use crate::call::Call;
use crate::client::Client;
use crate::cluster::View;
use crate::error::Error;

impl Client {
    /// `POST /v1/cluster/primary`: makes this replica primary, and says in which view it is.
    /// No acknowledged write is lost, and clients of the balancer see no error. It is sent
    /// again where that may help, which does no harm.
    ///
    /// # Errors
    /// See [`Error`]; a problem with 404 or 409 where that replica cannot be, which says what
    /// to do.
    pub async fn switch_over(&self, replica: &str) -> Result<View, Error> {
        let mut call = Call::mutation(Method::POST, "/v1/cluster/primary");
        call.unname();
        call.json(&serde_json::json!({ "replica": replica }));
        self.send(call).await?.json()
    }
}
