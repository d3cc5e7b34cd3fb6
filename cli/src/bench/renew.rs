//! Renewals: each client has a lease of its own, and renews it again and again.

use http::Method;

use super::load::Load;
use super::tally::Measured;

impl Load {
    /// Renewals.
    pub(super) async fn renew(&self) -> anyhow::Result<Measured> {
        let leases = self.grant_leases().await?;
        let requests = |client: usize| {
            let path = format!("/v1/leases/{}/renew", leases[client]);
            move |_turn| self.request(Method::POST, &path, "")
        };
        let measured = self.closed_loop(requests).await?;
        self.revoke_leases(&leases).await?;
        Ok(measured)
    }
}
