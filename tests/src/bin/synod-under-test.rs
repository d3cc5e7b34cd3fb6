//! The `synod` binary under a name of its own: `CARGO_BIN_EXE_…` exists only for binaries
//! of the package that holds the tests.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
