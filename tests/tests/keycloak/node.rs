//! One real Keycloak for the test program, and realms in it.
//!
//! It ends with the program however that ends: a shell waits at the end of a pipe for it. A machine
//! without Java or Keycloak makes a test fail with one line that says what to do.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stories::metrics::{Page, ask};

/// Pinned in .ci/setup, too.
const VERSION: &str = "26.0.7";

/// A first start on a busy machine makes a database and looks at some hundred jars.
const START: Duration = Duration::from_secs(300);

/// Copies the distribution, for it writes into itself, and runs it until the pipe is closed.
const SCRIPT: &str = r#"
set -eu
trap '' PIPE
cp -r "$1" "$2/home"
export JAVA_OPTS_KC_HEAP='-Xms64m -Xmx512m' KC_DB=dev-mem
export KC_BOOTSTRAP_ADMIN_USERNAME=admin KC_BOOTSTRAP_ADMIN_PASSWORD=admin
bash "$2/home/bin/kc.sh" start-dev --http-host "$3" --http-port "$4" >"$2/log" 2>&1 </dev/null &
pid=$!
read -r line || true
kill -KILL "$pid" 2>/dev/null || true
wait "$pid" 2>/dev/null || true
rm -rf -- "$2"
"#;

/// A provider of identities.
pub struct Keycloak {
    address: String,
    log: PathBuf,
    /// Its standard input is held open for as long as the program lives.
    _shell: Child,
}

/// A realm of it: a provider of its own, with keys of its own.
pub struct Realm {
    keycloak: &'static Keycloak,
    name: String,
}

impl Keycloak {
    /// The one of this program.
    pub fn shared() -> &'static Self {
        static ONE: OnceLock<Keycloak> = OnceLock::new();
        ONE.get_or_init(Self::start)
    }

    fn start() -> Self {
        let cache = std::env::var_os("FNAA_CACHE").map_or_else(
            || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache/fnaa"),
            PathBuf::from,
        );
        let home = cache.join("keycloak").join(format!("keycloak-{VERSION}"));
        assert!(
            home.join("bin/kc.sh").is_file(),
            "missing: Keycloak in {}; run `make keycloak`",
            home.display()
        );
        let ip = own_address();
        let dir = tempfile::Builder::new().prefix("fnaa-keycloak-").tempdir().unwrap().keep();
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "keycloak"]).arg(&home).arg(&dir);
        command.arg(ip.to_string()).arg(PORT.to_string());
        let shell = command.stdin(Stdio::piped()).spawn().expect("a shell");
        let keycloak =
            Self { address: format!("{ip}:{PORT}"), log: dir.join("log"), _shell: shell };
        keycloak.wait_ready();
        keycloak
    }

    fn wait_ready(&self) {
        let began = Instant::now();
        while !self.request("GET", "/realms/master", "", &[]).is_ok_and(|page| page.status == 200) {
            if began.elapsed() > START {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                panic!("Keycloak did not start:\n{log}");
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// HTTP/1.0, so that the answer ends with the connection and comes in one piece.
    fn request(
        &self,
        method: &str,
        path: &str,
        body: &str,
        head: &[String],
    ) -> std::io::Result<Page> {
        let (address, length) = (&self.address, body.len());
        let head: String = head.iter().map(|line| format!("{line}\r\n")).collect();
        let text = format!(
            "{method} {path} HTTP/1.0\r\nhost: {address}\r\n{head}content-length: {length}\r\n\r\n{body}"
        );
        ask(address, text.as_bytes())
    }

    /// What somebody gets for his password.
    fn token(&self, realm: &str, client: &str, user: &str, password: &str) -> String {
        let path = format!("/realms/{realm}/protocol/openid-connect/token");
        let form =
            format!("grant_type=password&client_id={client}&username={user}&password={password}");
        let kind = "content-type: application/x-www-form-urlencoded".to_owned();
        let page = self.request("POST", &path, &form, &[kind]).unwrap();
        assert_eq!(page.status, 200, "{page:?}");
        let answer: Value = serde_json::from_str(&page.body).unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// Something that only an administrator may do; gives the answer's body.
    fn administer(&self, method: &str, path: &str, body: &Value) -> Value {
        let token = self.token("master", "admin-cli", "admin", "admin");
        let head =
            [format!("authorization: Bearer {token}"), "content-type: application/json".to_owned()];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let page = self.request(method, path, &body, &head).unwrap();
        assert!((200..300).contains(&page.status), "{method} {path}: {page:?}");
        serde_json::from_str(&page.body).unwrap_or_default()
    }

    /// A new realm with the user ana, in the group ops, and clients whose tokens are for this host
    /// (`fnua`), for it but not for long (`brief`), and for others (`other`).
    pub fn realm(&'static self, name: &str) -> Realm {
        let mapper = |name: &str, kind: &str, config: Value| json!({ "name": name, "protocol": "openid-connect", "protocolMapper": kind, "config": config });
        let audience = mapper(
            "audience",
            "oidc-audience-mapper",
            json!({ "included.custom.audience": "fnaad", "access.token.claim": "true" }),
        );
        let groups = mapper(
            "groups",
            "oidc-group-membership-mapper",
            json!({ "claim.name": "groups", "full.path": "false", "access.token.claim": "true" }),
        );
        let client = |id: &str, mappers: &[&Value], seconds: &str| {
            json!({ "clientId": id, "enabled": true, "publicClient": true,
                "directAccessGrantsEnabled": true, "protocolMappers": mappers,
                "attributes": { "access.token.lifespan": seconds } })
        };
        let user = json!({ "username": "ana", "enabled": true, "email": "ana@corp.test", "firstName": "A",
            "lastName": "N", "groups": ["/ops"],
            "credentials": [{ "type": "password", "value": "pw", "temporary": false }] });
        let realm = json!({ "realm": name, "enabled": true, "groups": [{ "name": "ops" }],
            "users": [user],
            "clients": [client("fnua", &[&audience, &groups], "3600"), client("other", &[&groups], "3600"),
                client("brief", &[&audience], "5")] });
        self.administer("POST", "/admin/realms", &realm);
        Realm { keycloak: self, name: name.to_owned() }
    }
}

impl Realm {
    /// The `iss` of its tokens.
    pub fn issuer(&self) -> String {
        format!("http://{}/realms/{}", self.keycloak.address, self.name)
    }

    /// A token of ana's, by one of the clients.
    pub fn token(&self, client: &str) -> String {
        self.keycloak.token(&self.name, client, "ana", "pw")
    }

    /// Signs with another key from now on, and takes the old one back.
    pub fn turn_keys(&self) {
        let path = format!("/admin/realms/{}", self.name);
        let realm = self.keycloak.administer("GET", &path, &Value::Null)["id"].clone();
        let path = format!("{path}/components");
        let kind = "org.keycloak.keys.KeyProvider";
        let all = self.keycloak.administer("GET", &format!("{path}?type={kind}"), &Value::Null);
        let old = all.as_array().unwrap().iter().find(|key| key["providerId"] == "rsa-generated");
        let old = old.unwrap()["id"].as_str().unwrap().to_owned();
        let new = json!({ "name": "new", "providerId": "rsa-generated", "providerType": kind,
            "parentId": realm, "config": { "priority": ["200"], "enabled": ["true"], "active": ["true"],
            "algorithm": ["RS256"], "keySize": ["2048"] } });
        self.keycloak.administer("POST", &path, &new);
        self.keycloak.administer("DELETE", &format!("{path}/{old}"), &Value::Null);
    }
}

/// A loopback address of the program's own: nobody else listens there.
fn own_address() -> Ipv4Addr {
    let id = std::process::id();
    for offset in 0..1000_u32 {
        let [_, a, b, c] = (id + 7919 * offset).to_be_bytes();
        // Below 127.2: the participants of the stories and the Kafka nodes take others.
        let ip = Ipv4Addr::new(127, 1, a ^ b, c.clamp(1, 254));
        if TcpListener::bind((ip, PORT)).is_ok() {
            return ip;
        }
    }
    panic!("no loopback address is free");
}

const PORT: u16 = 8080;
