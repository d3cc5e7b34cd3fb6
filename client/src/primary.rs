//! Who is primary, and who is out for good, on request.

use http::Method;

use crate::call::Call;
use crate::client::Client;
use crate::cluster::View;
use crate::error::Error;

impl Client {
    /// `POST /v1/cluster/primary`: makes this replica primary, and says in which view it is.
    /// No acknowledged write is lost, and clients of the balancer see no error. It is sent
    /// again where that may help, which does no harm; also where another change of the view
    /// came first, such as one that a new leader made.
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

    /// `DELETE /v1/cluster/replicas/{id}`: takes this replica out of the cluster for good, and
    /// says in which view it is out. Its process ends, and its data is of no use any more;
    /// one of its name may join with an empty data directory. It is sent again where that
    /// may help.
    ///
    /// # Errors
    /// See [`Error`]; a problem with 404 where there is no such replica, which says whether
    /// there was, and with 409 where it cannot be taken out, which says what to do.
    pub async fn remove_replica(&self, replica: &str) -> Result<View, Error> {
        let mut call = Call::mutation(Method::DELETE, "/v1/cluster/replicas/").at_key(replica);
        call.unname();
        self.send(call).await?.json()
    }
}
