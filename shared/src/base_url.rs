//! Where a service is reached.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// Where a service is reached: `http://host:port`, or `https://host:port` where it listens
/// with TLS, without a path and without a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BaseUrl(String);

/// How a service is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP on a plain connection.
    Http,
    /// HTTP in TLS.
    Https,
}

impl Scheme {
    /// As it stands in a URL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// A text is not a [`BaseUrl`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a service's URL such as http://127.0.0.1:8201: {reason}")]
pub struct BaseUrlError {
    text: String,
    reason: String,
}

impl BaseUrl {
    /// A service that is reached at the address that it listens on.
    #[must_use]
    pub fn of(scheme: Scheme, address: SocketAddr) -> Self {
        Self(format!("{}://{address}", scheme.as_str()))
    }

    /// How it is spoken to.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        if self.0.starts_with("https://") { Scheme::Https } else { Scheme::Http }
    }

    /// The URL as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Host and port, as a `Host` header and a socket want them.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.0.split_once("://").map_or(&self.0, |(_scheme, authority)| authority)
    }
}

impl FromStr for BaseUrl {
    type Err = BaseUrlError;

    fn from_str(text: &str) -> Result<Self, BaseUrlError> {
        let refuse = |reason: &str| BaseUrlError {
            text: text.chars().take(256).collect(),
            reason: reason.to_owned(),
        };
        let url = url::Url::parse(text.trim()).map_err(|error| refuse(&error.to_string()))?;
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(refuse("only http and https are spoken")),
        };
        let Some(host) = url.host_str() else { return Err(refuse("the host is missing")) };
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("there must be nothing after host and port"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("user and password are not supported"));
        }
        let port = url.port_or_known_default().ok_or_else(|| refuse("the port is missing"))?;
        Ok(Self(format!("{}://{host}:{port}", scheme.as_str())))
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_a_host_and_a_port() {
        assert_eq!("http://acceptor-1".parse::<BaseUrl>().unwrap().authority(), "acceptor-1:80");
        assert_eq!("http://[::1]:8201/".parse::<BaseUrl>().unwrap().as_str(), "http://[::1]:8201");
        let secured: BaseUrl = "https://acceptor-1".parse().unwrap();
        assert_eq!((secured.scheme(), secured.authority()), (Scheme::Https, "acceptor-1:443"));
        for bad in [
            "",
            "acceptor-1:8201",
            "ftp://a:1",
            "http://a:1/v1",
            "http://a:1?x",
            "http://u:p@a:1",
            "http://a:99999",
            "unix:/a",
        ] {
            assert!(bad.parse::<BaseUrl>().is_err(), "{bad:?}");
        }
    }
}
