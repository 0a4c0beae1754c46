//! The binary `fnua`: the process's own arguments and streams, and nothing else.

use std::process::ExitCode;

use fnua::{Exit, Io};

fn main() -> ExitCode {
    // One connection, one task: a second worker only keeps the output from holding up the input.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let exit = match runtime {
        Ok(runtime) => {
            let exit = runtime.block_on(fnua::run(std::env::args_os(), Io::real()));
            // A thread that still reads a terminal must not hold the process.
            runtime.shutdown_background();
            exit
        }
        Err(_) => Exit::Broken,
    };
    exit.into()
}
