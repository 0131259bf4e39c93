//! Prints the definitions of our own objects, as the chart ships them.

use std::io::Write;
use std::process::ExitCode;

use config::api::ClusterLink;
use kube::CustomResourceExt;

fn main() -> ExitCode {
    let printed =
        serde_saphyr::to_string(&ClusterLink::crd()).map_err(|error| error.to_string()).and_then(
            |yaml| std::io::stdout().write_all(yaml.as_bytes()).map_err(|error| error.to_string()),
        );
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is gone too, the exit code alone has to do.
            drop(writeln!(std::io::stderr(), "cannot print the definitions: {error}"));
            ExitCode::FAILURE
        }
    }
}
