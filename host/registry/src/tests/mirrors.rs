//! Which flows were there before a pattern.

use fnap::command::MirrorTo;

use super::*;

fn pattern() -> Mirror {
    Mirror {
        name: name("m.n.test"),
        from: "*.n.test".parse().unwrap(),
        to: MirrorTo::One(name("c.n.test")),
        start: Start::Latest,
        options: Config::new(),
        config: "{}".to_owned(),
        owner: Some("user:ana".parse().unwrap()),
        created_at: 0,
        made: 0,
    }
}

#[tokio::test]
async fn one_has_so_many_patterns_and_leaves_the_rest_to_others() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    registry.create_mirror(pattern(), Some(1)).await.unwrap();
    let second = Mirror { name: name("second.n.test"), ..pattern() };
    let refused = registry.create_mirror(second.clone(), Some(1)).await.unwrap_err().to_string();
    assert_eq!(refused, "user:ana has 1 patterns, which is his quota");
    let others = Mirror { owner: Some("user:bo".parse().unwrap()), ..second };
    registry.create_mirror(others, Some(1)).await.unwrap();
}

#[tokio::test]
async fn what_came_first_is_told_by_the_order_of_commands_whatever_clocks_say() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    registry.create_mirror(pattern(), None).await.unwrap();
    registry.create_flow(new_flow("later.n.test")).await.unwrap();
    let flow = async |text: &str| registry.flow(&name(text)).await.unwrap().unwrap();
    let (before, later) = (flow("a.n.test").await, flow("later.n.test").await);
    for jump in [-1_000_000, 0, 1_000_000] {
        let mut mirror = registry.mirrors().remove(0);
        mirror.created_at += jump;
        assert!(mirror.found(&before) && !mirror.found(&later), "{jump}");
    }
}
