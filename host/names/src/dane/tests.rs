use super::*;
use crate::testing::{Authority, chain, expired, host};

const HOST: &str = "fnaa.emiliano.ar";

/// An authority with one below it, and a leaf of that.
struct World {
    root: Authority,
    middle: Authority,
    leaf: Vec<u8>,
    key: Vec<u8>,
}

impl World {
    fn new(params: &rcgen::CertificateParams) -> Self {
        let root = Authority::root("root");
        let middle = root.below("middle");
        let (leaf, key) = middle.leaf(params);
        Self { root, middle, leaf, key }
    }

    fn chain(&self) -> Chain {
        chain(&[&self.leaf, &self.middle.der()])
    }

    /// What a record says about this world's chain when the root is trusted, or nobody.
    fn says(&self, record: Tlsa, is_trusted: bool) -> Published {
        let roots = if is_trusted { self.root.roots() } else { Roots::default() };
        published(&[record], &self.chain(), &HOST.parse().unwrap(), &roots)
    }
}

fn tlsa(usage: u8, selector: u8, matching: u8, selected: &[u8]) -> Tlsa {
    let data = match matching {
        1 => Sha256::digest(selected).to_vec(),
        2 => Sha512::digest(selected).to_vec(),
        _ => selected.to_vec(),
    };
    Tlsa { usage, selector, matching, data }
}

/// Every usage, selector and matching: the leaf, the middle and the root, each with and without trust in the root.
#[test]
fn each_kind_of_record_means_what_it_names_and_nothing_else() {
    let world = World::new(&host(&[HOST]));
    let other = World::new(&host(&[HOST]));
    let selected = |world: &World, selector| match selector {
        0 => [world.leaf.clone(), world.middle.der(), world.root.der()],
        _ => [world.key.clone(), world.middle.public_key(), world.root.public_key()],
    };
    // Whether [leaf, middle, root] is found: by usage, with the root trusted and not.
    let expected = [
        (0, [false, true, true], [false, false, false]),
        (1, [true, false, false], [false, false, false]),
        (2, [false, true, false], [false, true, false]),
        (3, [true, false, false], [true, false, false]),
    ];
    for (usage, trusted, untrusted) in expected {
        for (selector, matching) in (0..2).flat_map(|s| (0..3).map(move |m| (s, m))) {
            let ours = selected(&world, selector);
            for (at, selected) in ours.iter().enumerate() {
                let record = || tlsa(usage, selector, matching, selected);
                // The whole root in the record needs nobody to bring it along.
                let whole = at == 2 && (usage, selector, matching) == (2, 0, 0);
                for (is_trusted, means) in [(true, trusted[at]), (false, untrusted[at])] {
                    let means = if means || whole { Published::This } else { Published::Other };
                    let shown = format!("{usage} {selector} {matching} {at} {is_trusted}");
                    assert_eq!(world.says(record(), is_trusted), means, "{shown}");
                }
            }
            for theirs in selected(&other, selector) {
                let record = tlsa(usage, selector, matching, &theirs);
                assert_eq!(world.says(record, true), Published::Other);
            }
        }
    }
}

#[test]
fn only_dane_ee_looks_at_neither_names_nor_days() {
    for params in [host(&["other.example"]), expired(&[HOST])] {
        let world = World::new(&params);
        assert_eq!(world.says(tlsa(3, 1, 1, &world.key), false), Published::This);
        let authority = world.middle.public_key();
        assert_eq!(world.says(tlsa(2, 1, 1, &authority), true), Published::Other);
        assert_eq!(world.says(tlsa(1, 1, 1, &world.key), true), Published::Other);
        assert_eq!(world.says(tlsa(0, 1, 1, &authority), true), Published::Other);
    }
}

#[test]
fn dane_ta_takes_an_authority_that_only_the_record_knows() {
    let root = Authority::root("private");
    let leaf = root.host(&[HOST]);
    let record = tlsa(2, 0, 0, &root.der());
    let says = |chain: &Chain| {
        published(std::slice::from_ref(&record), chain, &HOST.parse().unwrap(), &Roots::default())
    };
    assert_eq!(says(&chain(&[&leaf])), Published::This);
    let stranger = Authority::root("private");
    assert_eq!(says(&chain(&[&stranger.host(&[HOST])])), Published::Other);
}

#[test]
fn a_certificate_that_is_only_brought_along_is_nobodys_authority() {
    let world = World::new(&host(&[HOST]));
    let stranger = Authority::root("stranger");
    // The stranger's chain, with the authority that the record means thrown in.
    let leaf = stranger.host(&[HOST]);
    let chain = chain(&[&leaf, &stranger.der(), &world.middle.der()]);
    let record = tlsa(2, 0, 1, &world.middle.der());
    let says = published(&[record], &chain, &HOST.parse().unwrap(), &Roots::default());
    assert_eq!(says, Published::Other);
}

#[test]
fn records_that_cannot_be_used_are_as_good_as_none() {
    let world = World::new(&host(&[HOST]));
    let good = tlsa(3, 1, 1, &world.key);
    let bad = [
        Tlsa { usage: 4, ..good.clone() },
        Tlsa { usage: 255, ..good.clone() },
        Tlsa { selector: 2, ..good.clone() },
        Tlsa { matching: 3, ..good.clone() },
        Tlsa { data: good.data[1..].to_vec(), ..good.clone() },
        Tlsa { matching: 2, ..good.clone() },
        Tlsa { matching: 0, data: Vec::new(), ..good.clone() },
    ];
    let host = HOST.parse().unwrap();
    let says = |records: &[Tlsa]| published(records, &world.chain(), &host, &Roots::default());
    assert_eq!(says(&[]), Published::Nothing);
    assert_eq!(says(&bad), Published::Nothing);
    assert_eq!(says(&[&bad[..], &[good]].concat()), Published::This);
}

#[test]
fn one_of_several_records_is_enough() {
    let world = World::new(&host(&[HOST]));
    let old = tlsa(3, 1, 1, b"the key of last year");
    let records = [old.clone(), tlsa(3, 1, 2, &world.key)];
    let host = HOST.parse().unwrap();
    let says = |records: &[Tlsa]| published(records, &world.chain(), &host, &Roots::default());
    assert_eq!(says(&records), Published::This);
    assert_eq!(says(&[old]), Published::Other);
}
