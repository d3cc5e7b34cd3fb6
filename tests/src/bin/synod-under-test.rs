//! The `synod` binary under a name of its own: `CARGO_BIN_EXE_…` exists only for binaries
//! of the package that holds the tests.

use std::process::ExitCode;

// As that one has it: what it takes of memory and address space is tested, too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
