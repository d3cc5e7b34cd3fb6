//! What is asked of the systems.

use bytes::Bytes;

use crate::client::Client;

/// The size of a value.
const VALUE_BYTES: usize = 256;
const LARGE_VALUE_BYTES: usize = 100_000;

/// Keys that go by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    prefix: char,
    pub(crate) count: u32,
}

/// Those of the small values.
pub(crate) const KEYS: Keys = Keys { prefix: 'k', count: 10_000 };
/// Fewer, as ZooKeeper holds all values in memory.
pub(crate) const LARGE_KEYS: Keys = Keys { prefix: 'l', count: 1_000 };

/// A prime that divides no number of keys here, so that its multiples come to all of them.
const STRIDE: u32 = 7_919;

impl Keys {
    pub(crate) fn name(self, number: u32) -> String {
        format!("{}{:08}", self.prefix, number % self.count)
    }

    /// The `turn`th key of a client: all of them in turn, not in order, and each client
    /// begins elsewhere.
    fn pick(self, client: u32, turn: u32) -> String {
        let place = client.wrapping_mul(self.count / 257 + 1).wrapping_add(turn);
        let number = u64::from(place) * u64::from(STRIDE) % u64::from(self.count);
        self.name(u32::try_from(number).expect("less than the count"))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Put,
    PutLarge,
    Get,
}

/// A closed loop: each client has one operation under way and begins the next when it has
/// ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) operation: Operation,
    pub(crate) clients: usize,
}

impl Workload {
    const fn new(name: &'static str, operation: Operation, clients: usize) -> Self {
        Self { name, operation, clients }
    }

    /// What the proxies are measured with.
    pub(crate) const PROXYING: Self = Self::new("proxy-256", Operation::Get, 256);

    pub(crate) const ALL: [Self; 8] = [
        Self::new("put-1", Operation::Put, 1),
        Self::new("put-16", Operation::Put, 16),
        Self::new("put-64", Operation::Put, 64),
        Self::new("put-256", Operation::Put, 256),
        Self::new("put-100k-16", Operation::PutLarge, 16),
        Self::new("get-1", Operation::Get, 1),
        Self::new("get-64", Operation::Get, 64),
        Self::new("get-256", Operation::Get, 256),
    ];
}

impl Operation {
    pub(crate) fn keys(self) -> Keys {
        match self {
            Self::Put | Self::Get => KEYS,
            Self::PutLarge => LARGE_KEYS,
        }
    }

    /// Bytes that nothing compresses, the same in every run.
    pub(crate) fn value(self) -> Bytes {
        let length = match self {
            Self::Put | Self::Get => VALUE_BYTES,
            Self::PutLarge => LARGE_VALUE_BYTES,
        };
        let mut value = vec![0; length];
        fastrand::Rng::with_seed(1).fill(&mut value);
        Bytes::from(value)
    }

    /// The `turn`th operation of a client.
    pub(crate) async fn perform(
        self,
        client: &mut Client,
        (number, turn): (u32, u32),
        value: &Bytes,
    ) -> anyhow::Result<()> {
        let key = self.keys().pick(number, turn);
        match self {
            Self::Put | Self::PutLarge => client.put(&key, value).await,
            Self::Get => {
                let length = client.get(&key).await?;
                anyhow::ensure!(length == value.len(), "a value of {length} bytes");
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_client_comes_to_every_key_before_it_comes_to_one_again() {
        for keys in [KEYS, LARGE_KEYS] {
            let names: BTreeSet<String> = (0..keys.count).map(|turn| keys.pick(3, turn)).collect();
            assert_eq!(names.len(), usize::try_from(keys.count).unwrap());
        }
    }

    #[test]
    fn clients_begin_with_keys_of_their_own() {
        let names: BTreeSet<String> = (0..256).map(|client| KEYS.pick(client, 0)).collect();
        assert_eq!(names.len(), 256);
    }
}
