//! Certificates that a peer shows, and TLSA records that say which it should show: whatever is in them, they
//! are read or refused, and what is published is what is taken.

use host_iam::messages::user_of;
use host_iam::prepared_name;
use host_names::{Chain, Published, Roots, Tlsa, published};
use ring::digest::{SHA256, digest};

use crate::input::Input;

/// Certificates in DER: one, or each behind its length in two octets, as the first control says. The next
/// three are a TLSA record, and the fourth what it means.
pub fn certificate(data: &[u8]) {
    let input = Input::of(data);
    let certificates = match input.choice(0) % 2 {
        0 => vec![input.payload.to_vec()],
        _ => several(input.payload),
    };
    for der in &certificates {
        names_one_user(der);
    }
    let Some(chain) = Chain::read(&certificates) else { return };
    let own = &certificates[0];
    let host = HOST.parse().unwrap();
    if chain.is_named(&host) {
        let labels = [HOST.as_bytes(), b"*.example"];
        assert!(labels.iter().any(|name| holds(own, name)), "a name from nowhere");
    }
    let is_published = |usage, selector, matching, data: &[u8]| {
        let record = Tlsa { usage, selector, matching, data: data.to_vec() };
        published(&[record], &chain, &host, &Roots::default())
    };
    assert_eq!(is_published(3, 0, 0, own), Published::This);
    assert_eq!(is_published(3, 0, 1, digest(&SHA256, own).as_ref()), Published::This);
    assert_eq!(is_published(3, 0, 1, &[0; 32]), Published::Other);
    let meant = certificates.get(usize::from(input.choice(4)) % 4).unwrap_or(own);
    let (usage, selector) = (input.choice(1) % 5, input.choice(2) % 3);
    let says = is_published(usage, selector, input.choice(3) % 4, meant);
    // Nobody is an authority here, so these lead nowhere.
    assert!(usage > 1 || says != Published::This);
}

fn names_one_user(der: &[u8]) {
    let (strict, lenient) = (user_of(der, false), user_of(der, true));
    assert!(strict.is_none() || strict == lenient);
    if let Some(user) = lenient {
        assert_eq!(prepared_name(&user).as_ref(), Some(&user));
    }
}

fn several(mut rest: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let [high, low, behind @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(behind.len());
        let (one, further) = behind.split_at(length);
        all.push(one.to_vec());
        rest = further;
    }
    all
}

fn holds(octets: &[u8], part: &[u8]) -> bool {
    octets.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}

const HOST: &str = "a.example";
