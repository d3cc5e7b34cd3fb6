//! A value to store, and where it comes from.

use std::path::PathBuf;

use bytes::Bytes;

use super::read_input;

#[derive(clap::Args)]
pub(super) struct Value {
    /// The value; standard input where neither a value nor a file is given
    #[arg(conflicts_with = "file")]
    value: Option<String>,
    /// Take the value from a file
    #[arg(long, env = "SYNOD_FILE", value_name = "FILE")]
    file: Option<PathBuf>,
    /// What the value is, kept with it
    #[arg(
        long,
        env = "SYNOD_CONTENT_TYPE",
        value_name = "TYPE",
        default_value = "application/octet-stream"
    )]
    pub(super) content_type: String,
}

impl Value {
    pub(super) fn read(&self) -> anyhow::Result<Bytes> {
        match &self.value {
            Some(value) => Ok(Bytes::from(value.clone())),
            None => read_input(self.file.as_deref()),
        }
    }
}
