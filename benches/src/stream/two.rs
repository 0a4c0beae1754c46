//! The draft's two participants, each with its host, broker and name server.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use stories::{Certificates, Config, Fnaad, Fnua, Wire};

/// Where one of them is.
#[derive(Clone)]
pub struct Place {
    /// Its address to the other one.
    pub address: String,
    /// Its address to us, where that is another one.
    pub control: Option<String>,
    /// The process whose network it has; none where it is ours.
    pub network: Option<u32>,
}

impl Place {
    /// A program there.
    pub fn command(&self, program: &Path) -> Command {
        let Some(process) = self.network else { return Command::new(program) };
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{process}/ns/net")).arg(program);
        command
    }
}

/// Both hosts. One follows the other's flows.
pub struct Two {
    dir: tempfile::TempDir,
    /// Where they are: the owner, the subscriber.
    pub places: [Place; 2],
    unix: Fnaad,
    emiliano: Fnaad,
}

/// The local name of what is followed.
pub const LOCAL: &str = "here.emiliano.ar";
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(900);
/// The domain, the namespace, and the other's domain.
const NAMES: [(&str, &str, &str); 2] =
    [("unix.ar", "flows.unix.ar", "emiliano.ar"), ("emiliano.ar", "emiliano.ar", "unix.ar")];

impl Two {
    /// Starts them; `tls`: whether what goes between them is encrypted.
    pub fn start(places: [Place; 2], tls: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let names = ["--name", "fnaa.unix.ar", "--name", "fnaa.emiliano.ar"];
        let certificates = Certificates::make(dir.path(), &names);
        let host = |which: usize| {
            let own = dir.path().join(NAMES[which].0);
            std::fs::create_dir_all(&own).unwrap();
            let config = config(&own, which, &places, &certificates, tls);
            match places[which].network {
                None => Fnaad::serve(&own, config.save()),
                Some(process) => Fnaad::serve_within(&own, config.save(), process),
            }
        };
        let (unix, emiliano) = (host(0), host(1));
        Self { dir, unix, emiliano, places }
    }

    /// A connection to the owner's host.
    pub fn owner(&self) -> Wire {
        self.unix.login_as("test", "test")
    }

    /// A connection to the subscriber's.
    pub fn user(&self) -> Wire {
        self.emiliano.login_as("test", "test")
    }

    /// Subscribes as a person does, and gives how long it took to the first event.
    pub fn first_event(&self, flow: &str) -> Duration {
        let (agent, mut user) = (self.agent(), self.user());
        let began = Instant::now();
        agent.ok(&["subscribe", flow, "--local", LOCAL]);
        wait(&mut user, 1);
        let took = began.elapsed();
        unsubscribe(&mut user);
        took
    }

    /// The user agent of the subscriber.
    fn agent(&self) -> Fnua {
        let path: PathBuf = self.dir.path().join("fnua.toml");
        let address = self.emiliano.address();
        let text = format!(
            "[[agents]]\nname = \"fnaa.emiliano.ar\"\naddress = \"{address}\"\ntls = \"never\"\nallow_plaintext = true\nusername = \"test\"\n\
             password = \"test\"\nnamespaces = [\"emiliano.ar\"]\n"
        );
        std::fs::write(&path, text).unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, private).unwrap();
        Fnua::new(path)
    }
}

/// Subscribes, and gives events a second from the first look that saw some to the last event.
pub fn rate(user: &mut Wire, flow: &str, events: u64) -> f64 {
    user.data(&format!("SUBSCRIBE {flow} LOCAL {LOCAL}"));
    let first = wait(user, 1);
    let began = Instant::now();
    wait(user, events);
    let took = began.elapsed();
    unsubscribe(user);
    (events - first) as f64 / took.as_secs_f64()
}

/// Ends what there is under the local name.
pub fn unsubscribe(user: &mut Wire) {
    user.ok(&format!("UNSUBSCRIBE {LOCAL}"));
    user.ok(&format!("DELETE FLOW {LOCAL}"));
}

/// Waits until the local flow has so many events, and gives how many it has.
fn wait(user: &mut Wire, events: u64) -> u64 {
    let began = Instant::now();
    loop {
        let seen = count(user);
        if seen >= events {
            return seen;
        }
        let late = began.elapsed() > PATIENCE;
        assert!(!late, "{seen} of {events}: {:?}", user.json("GET SUBSCRIPTIONS"));
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn count(user: &mut Wire) -> u64 {
    let answer = user.ask(&format!("DESCRIBE FLOW {LOCAL} FORMAT json"));
    let Some(Ok(flow)) = answer.get(1).map(|line| serde_json::from_str::<Value>(line)) else {
        return 0;
    };
    let logs = flow["log"].as_array().into_iter().flatten();
    logs.map(|log| log["latest"].as_u64().unwrap_or_default()).sum()
}

fn config(
    dir: &Path,
    which: usize,
    places: &[Place; 2],
    certificates: &Certificates,
    tls: bool,
) -> Config {
    let (domain, namespace, other_domain) = NAMES[which];
    let Place { address, control, .. } = &places[which];
    let other = &places[1 - which].address;
    let shown = |name| certificates.file(name).display().to_string();
    let port = if tls { 61_001 } else { 61_000 };
    let first = control.as_ref().map(|at| format!("\"{at}:61000\", ")).unwrap_or_default();
    let open = control.as_ref().map(|at| format!("\"{at}:61000\"")).unwrap_or_default();
    let mut config = Config::new(dir);
    config.text = config
        .text
        .replace("fnaa.unix.ar", &format!("fnaa.{domain}"))
        .replace("\"flows.unix.ar\"", &format!("\"{namespace}\""))
        .replace("\"127.0.0.1:0\"", &format!("{first}\"{address}:61000\""))
        .replacen("\n[[namespaces]]", &format!(
            "listen_tls = [\"{address}:61001\"]\nclear_text_on = [{open}]\n\n[tls]\ncertificate_file = \"{}\"\n\
             key_file = \"{}\"\n\n[[namespaces]]",
            shown("server.pem"), shown("server.key")), 1);
    config.text += &format!(
        "\n[names]\nzones = [{{ zone = \"{other_domain}\", servers = [\"{other}:5300\"] }}]\n\
         \n[peers]\ndomain = \"{domain}\"\nsecret_file = \"{}\"\nca_file = \"{}\"\n\
         \n[dns]\nagent = \"fnaa.{domain}:{port}\"\naddresses = [\"{address}\"]\nlisten = [\"{address}:5300\"]\n\
         [[dns.zones]]\nname = \"{domain}\"\nembedded = true\n",
        dir.with_file_name("peers.secret").display(),
        shown("ca.pem"),
    );
    config
}
