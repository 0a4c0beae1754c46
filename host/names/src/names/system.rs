//! The name servers that the system says.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Once;

use hickory_resolver::config::NameServerConfig;
use hickory_resolver::system_conf;

use crate::SetupError;

/// All that the file names.
pub(super) fn servers(path: &Path) -> Result<Vec<NameServerConfig>, SetupError> {
    let octets = std::fs::read(path).map_err(|error| wrong(path, &error))?;
    let (config, _) =
        system_conf::parse_resolv_conf(octets).map_err(|error| wrong(path, &error))?;
    Ok(config.into_parts().2)
}

/// The same where zones have servers of their own, so that what is found there is found without them; with the reason why
/// there are none. A machine without a network has no such file, and that is well; one that cannot be used is told of.
pub(super) fn servers_beside_zones(path: &Path) -> (Vec<NameServerConfig>, Option<String>) {
    static TOLD: Once = Once::new();
    match servers(path) {
        Ok(servers) => (servers, None),
        Err(error) => {
            if is_there(path) {
                TOLD.call_once(|| {
                    tracing::warn!(cause = %error, "only names of the configured zones can be looked up");
                });
            }
            (Vec::new(), Some(error.to_string()))
        }
    }
}

fn is_there(path: &Path) -> bool {
    !std::fs::metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

fn wrong(path: &Path, error: &dyn std::fmt::Display) -> SetupError {
    SetupError::NoServers(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_names_nobody_is_told_of_and_one_that_is_not_there_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("resolv.conf");
        let beside = || {
            let (servers, nobody) = servers_beside_zones(&path);
            (servers.len(), nobody)
        };
        let (none, why) = beside();
        assert!(
            none == 0 && why.unwrap().contains("resolv.conf: No such file") && !is_there(&path)
        );
        for damaged in
            [&b""[..], b"nameserver\n", b"nameserver example\n", b"\xff\xfe\0", b"# none"]
        {
            std::fs::write(&path, damaged).unwrap();
            let (none, why) = beside();
            let why = why.unwrap();
            assert!(
                none == 0 && why.contains("resolv.conf: ") && is_there(&path),
                "{damaged:?} {why}"
            );
            assert!(matches!(servers(&path), Err(SetupError::NoServers(_))));
        }
        // One bad line does not take the good ones along.
        std::fs::write(&path, "nameserver 192.0.2.53\nnonsense\nnameserver x\n").unwrap();
        assert_eq!(beside(), (1, None));
    }
}
