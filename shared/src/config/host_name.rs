//! The name of a host.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// The name or address of a host, without a port, as `--allowed-hosts` lists them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(String);

/// A text is not a [`HostName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of a host, such as kv.example.com, without scheme and port")]
pub struct HostNameError(String);

impl HostName {
    /// The host of a URL as it is compared: case and a dot at the end mean nothing.
    #[must_use]
    pub fn normal(host: &str) -> Self {
        Self(host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase())
    }

    /// Whether a text is a name, or an address with the brackets that IPv6 has in a URL.
    #[must_use]
    pub fn is_valid(host: &str) -> bool {
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        match address {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.bytes().all(is_of_name),
        }
    }

    /// It as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = HostNameError;

    fn from_str(text: &str) -> Result<Self, HostNameError> {
        let bare = text.parse::<Ipv6Addr>().map(|address| format!("[{address}]"));
        let host = bare.unwrap_or_else(|_| text.trim().to_owned());
        if Self::is_valid(&host) {
            Ok(Self::normal(&host))
        } else {
            Err(HostNameError(text.chars().take(256).collect()))
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowed_host_is_a_name_or_an_address_and_nothing_else() {
        for (text, expected) in [
            ("KV.example.com", "kv.example.com"),
            ("10.0.0.7", "10.0.0.7"),
            ("::1", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(text.parse::<HostName>().unwrap().to_string(), expected);
        }
        for bad in ["", "http://x", "x:80", "x/y", "u@x", "a b", "*"] {
            assert!(bad.parse::<HostName>().is_err(), "{bad:?}");
        }
    }
}
