//! What `up --tls` has its services speak TLS with.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use shared::causes::causes;
use shared::ids::Name;
use shared::tls::{Calls, Role, Trust};

use super::plan::Planned;
use crate::pki::{Authority, DOMAIN};

/// The folder in the data directory.
const FOLDER: &str = "tls";

/// An authority, and a certificate of each service.
pub(crate) struct Certificates(Authority);

impl Certificates {
    /// Makes what is missing, renews what ends soon, and tells every service of its own. This
    /// process believes the authority from then on.
    pub(crate) fn of(data_dir: &Path, plan: &mut [Planned]) -> anyhow::Result<Self> {
        let folder = data_dir.join(FOLDER);
        let authority = match folder.join("ca.pem").exists() {
            true => Authority::open(&folder),
            false => Authority::create(&folder, DOMAIN),
        }?;
        for planned in plan.iter_mut() {
            let name = name(planned)?;
            authority.ensure(Role::Service(planned.service), &name)?;
            let mut flag = |flag: &str, path: PathBuf| {
                planned.args.extend([OsString::from(flag), path.into_os_string()]);
            };
            flag("--tls-cert", authority.certificate_of(&name));
            flag("--tls-key", authority.key_of(&name));
            flag("--tls-client-ca", authority.certificate());
        }
        Calls::OnlyTls(Trust::of_files(&authority.certificate(), None)?).set_of_process();
        Ok(Self(authority))
    }

    /// Where the authority's certificate is: what whoever asks the cluster needs.
    pub(crate) fn authority(&self) -> PathBuf {
        self.0.certificate()
    }

    /// Renews what ends soon, which the services notice by themselves; says what went wrong.
    pub(crate) fn renew(&self, plan: &[Planned]) -> Vec<String> {
        let renewed = plan.iter().map(|planned| {
            let name = name(planned)?;
            let renewed = self.0.ensure(Role::Service(planned.service), &name);
            renewed.with_context(|| format!("the certificate of {name} ends soon"))
        });
        renewed.filter_map(Result::err).map(|error| causes(&error)).collect()
    }
}

fn name(planned: &Planned) -> anyhow::Result<Name> {
    Ok(planned.name.parse()?)
}
