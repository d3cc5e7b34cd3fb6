//! What a client of any of the systems does.

use crate::systems::{EtcdClient, SynodClient, ZooKeeperClient};

/// A client with at most one operation under way.
pub(crate) enum Client {
    Synod(SynodClient),
    Etcd(Box<EtcdClient>),
    ZooKeeper(ZooKeeperClient),
}

impl Client {
    /// Writes a key that may not be there yet.
    pub(crate) async fn create(&mut self, key: &str, value: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::Synod(client) => client.put(key, value).await,
            Self::Etcd(client) => client.put(key, value).await,
            Self::ZooKeeper(client) => client.create(key, value).await,
        }
    }

    /// Writes a key that is there.
    pub(crate) async fn put(&mut self, key: &str, value: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::Synod(client) => client.put(key, value).await,
            Self::Etcd(client) => client.put(key, value).await,
            Self::ZooKeeper(client) => client.put(key, value).await,
        }
    }

    /// Reads a key linearizably; how long its value is, in bytes.
    pub(crate) async fn get(&mut self, key: &str) -> anyhow::Result<usize> {
        match self {
            Self::Synod(client) => client.get(key).await,
            Self::Etcd(client) => client.get(key).await,
            Self::ZooKeeper(client) => client.get(key).await,
        }
    }

    /// After an error: a client that knows several nodes asks the next one.
    pub(crate) async fn go_elsewhere(&mut self) -> anyhow::Result<()> {
        match self {
            // Finding who serves is what its balancer is for.
            Self::Synod(_) => Ok(()),
            Self::Etcd(client) => client.go_elsewhere().await,
            Self::ZooKeeper(client) => client.go_elsewhere().await,
        }
    }
}
