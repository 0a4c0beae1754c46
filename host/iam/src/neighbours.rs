//! Hosts of the same user on the same machine: a domain each, all with one secret.
//!
//! Whoever comes over loopback as `domain:NAME` and knows the secret is that domain's agent. Counts for nobody who comes
//! from anywhere else, whatever he knows, and for no user of the list, whatever he is called.

use std::net::IpAddr;

use fnap::name::Name;

use crate::prepare;
use crate::scram::{ScramVerifier, scram_verifier};
use crate::verifier::VerifierError;

/// What neighbours have to know.
#[derive(Debug)]
pub(crate) struct Neighbours {
    verifier: ScramVerifier,
}

impl Neighbours {
    pub(crate) fn new(secret: &str) -> Result<Self, VerifierError> {
        let secret = prepare::password(secret).ok_or(VerifierError::Failed)?;
        Ok(Self { verifier: ScramVerifier::parse(&scram_verifier(&secret)?)? })
    }

    pub(crate) const fn verifier(&self) -> &ScramVerifier {
        &self.verifier
    }
}

/// The domain that a neighbour at this address wants to be.
pub(crate) fn domain(user: &str, address: IpAddr) -> Option<Name> {
    let name = user.strip_prefix("domain:")?;
    let parsed: Name = name.parse().ok()?;
    // Parsing takes a URI, too.
    (address.to_canonical().is_loopback() && parsed.as_str() == name).then_some(parsed)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fnap::client::Exchange as Client;
    use fnap::sasl::{Mechanism, PlainCredentials};

    use crate::{Peer, Step, UserList, Users};

    const SECRET: &str = "c2VjcmV0IG9mIGhvc3RzIG9uIHRoaXMgbWFjaGluZQ==";
    const US: &str = "domain:emiliano.ar";

    fn users(secret: Option<&str>) -> Arc<Users> {
        let users = Users::new(UserList::default()).unwrap();
        secret.iter().for_each(|secret| users.trust_neighbours(secret).unwrap());
        Arc::new(users)
    }

    async fn attempt(users: &Arc<Users>, mut client: Client, from: &str) -> Step {
        let peer = Peer::in_clear(from.parse().unwrap());
        let mut exchange = users.begin(client.mechanism(), peer);
        let mut challenge = Vec::new();
        loop {
            let Ok(response) = client.respond(&challenge) else { return Step::Refused };
            match exchange.step(Some(&response)).await {
                Step::Challenge(next) => challenge = next,
                step => return step,
            }
        }
    }

    async fn scram(users: &Arc<Users>, user: &str, secret: &str, from: &str) -> Step {
        let client = Client::scram_sha_256("", user, secret, [7; 24]).unwrap();
        attempt(users, client, from).await
    }

    async fn plain(users: &Arc<Users>, user: &str, secret: &str, from: &str) -> Step {
        let client = Client::plain("", &PlainCredentials::new(user, secret).unwrap()).unwrap();
        assert_eq!(client.mechanism(), Mechanism::Plain);
        attempt(users, client, from).await
    }

    fn name(step: Step) -> Option<String> {
        match step {
            Step::Authenticated(principal) => Some(principal.to_string()),
            Step::Refused => None,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_knows_the_secret_is_a_domain_over_loopback() {
        let users = users(Some(SECRET));
        for from in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(name(scram(&users, US, SECRET, from).await).as_deref(), Some(US), "{from}");
        }
        assert_eq!(name(plain(&users, US, SECRET, "127.0.0.1").await).as_deref(), Some(US));
    }

    #[tokio::test(start_paused = true)]
    async fn from_anywhere_else_or_without_that_trust_the_secret_opens_nothing() {
        let trusting = users(Some(SECRET));
        assert_eq!(name(scram(&trusting, US, SECRET, "192.0.2.1").await), None);
        assert_eq!(name(plain(&trusting, US, SECRET, "192.0.2.2").await), None);
        let other = users(None);
        assert_eq!(name(scram(&other, US, SECRET, "127.0.0.1").await), None);
        assert_eq!(name(plain(&other, US, SECRET, "127.0.0.1").await), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wrong_secret_or_no_domain_is_refused_and_counted() {
        let users = users(Some(SECRET));
        for user in ["dev", "user:dev", "domain:", "domain:a..b", "domain:user:dev"] {
            assert_eq!(name(scram(&users, user, SECRET, "127.0.0.1").await), None, "{user}");
        }
        let mut busy = false;
        for _ in 0..30 {
            match scram(&users, US, "another", "127.0.0.1").await {
                Step::Busy { .. } => busy = true,
                step => assert_eq!(name(step), None),
            }
        }
        assert!(busy, "thirty failures do not count");
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_of_that_name_stays_who_he_is() {
        let mut list = UserList::default();
        list.insert(US, &crate::hash_password("his own").unwrap()).unwrap();
        let users = Users::new(list).unwrap();
        users.trust_neighbours(SECRET).unwrap();
        let users = Arc::new(users);
        assert_eq!(name(plain(&users, US, SECRET, "127.0.0.1").await), None);
        let his = name(plain(&users, US, "his own", "127.0.0.1").await);
        assert_eq!(his.as_deref(), Some("user:domain:emiliano.ar"));
    }
}
