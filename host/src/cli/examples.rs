//! Examples that help shows.

pub(super) const EXAMPLES: &str = "\
Examples:
  fnaad demo                                  see it work, in a minute
  fnaad dev ./try --namespace flows.unix.ar   a participant of your own
  fnua --config ./try/fnua.toml get flows     ask it
  fnaad check --config fnaad.toml             before a start
  fnaad serve --config fnaad.toml             SIGTERM drains, SIGHUP reads the file again
  fnaad cert ./tls --name fnaa.example.org    certificates for trying TLS out
  fnaad user add ana --config fnaad.toml      somebody who may come in
  fnaad hash-password < password.txt          a verifier, to be written into a file by hand
  fnaad plugin new --lang python mask         a plugin of your own, in your language
  fnaad plugin check mask.wasm                will a host take it";

pub(super) const DNS_EXAMPLES: &str = "\
Export needs no zone in the configuration: whoever may not let a host write to his zone puts there what it prints.
Check exits with 1 where anything is not as it should be, or cannot be asked.

Examples:
  fnaad dns export --config fnaad.toml
  fnaad dns export --config fnaad.toml --zone flows.example.org >> flows.example.org.zone
  fnaad dns check --config fnaad.toml";

pub(super) const USER_EXAMPLES: &str = "\
A running host takes the file over by itself, within seconds.

Examples:
  fnaad user add ana --group ops --config fnaad.toml
  fnaad user passwd ana --config fnaad.toml < password.txt
  fnaad user disable ana --config fnaad.toml
  fnaad user list --format json --file users.toml";

pub(super) const CERT_EXAMPLES: &str = "\
Files: ca.pem and ca.key (the authority), server.pem and server.key, user-NAME.pem, domain-NAME.pem and
their keys, in PEM. Keys are for their owner only (mode 0600). Nothing that is there is replaced without --force.
With --client domain:NAME a server.pem that bears all the names stays as it is, also with --force.
For the open network take a certificate that everybody's software trusts, as of an ACME authority.

Examples:
  fnaad cert ./tls --name fnaa.example.org --name 192.0.2.1
  fnaad cert ./tls --client user:ana                          one more, of the same authority
  fnaad cert ./tls --client domain:example.org --name fnaa.example.org    for its agent; server.pem stays
  fnaad cert ./tls --name fnaa.example.org --name 192.0.2.1 --days 90 --force
                                                              a new server.pem; a running host takes it over

In fnaad.toml:
  [tls]
  certificate_file = \"tls/server.pem\"
  key_file = \"tls/server.key\"
  client_ca_file = \"tls/ca.pem\"";

pub(super) const DEV_EXAMPLES: &str = "\
It prints `ready fnap=ADDR:PORT dns=ADDR:PORT observe=ADDR:PORT` on standard output when it accepts, and logs to
standard error. The second address answers questions about the names of its flows, the third has /metrics, /livez
and /readyz. Two of them on one machine find each other with --resolve, each by the dns address of the other.

Examples:
  fnaad dev ./try
  fnaad dev ./try --listen 127.0.0.1:61000 --namespace flows.unix.ar --namespace flows.example
  fnaad dev ./one --namespace flows.unix.ar --dns 127.0.0.1:5301 --resolve emiliano.ar=127.0.0.1:5302
  fnaad dev ./two --namespace emiliano.ar --dns 127.0.0.1:5302 --resolve unix.ar=127.0.0.1:5301
  fnua --config ./two/fnua.toml subscribe time.flows.unix.ar
  fnaad dev ./onkafka --broker kafka=127.0.0.1:9092
  fnua --config ./try/fnua.toml create flow time.flows.unix.ar
  cp target/my-plugin.wasm ./try/plugins/     running processors take it over

In the directory: fnua.toml (for the user agent, with the password), users.toml, tls (its own
authority and certificate), plugins, data, listen, dns, broker, layout, lock.";
