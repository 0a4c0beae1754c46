use fnap::{Read, Start};
use fnua::{Agent, Connection, Error, Password, Trace};

use crate::fake::Fake;

fn agent(fake: &Fake) -> Agent {
    let stranger = Agent::stranger(fake.address().parse().unwrap());
    stranger.with_password("test", Password::new("test".to_owned()))
}

#[tokio::test]
async fn a_program_writes_and_reads_over_one_connection() {
    let fake = Fake::once(|talk| {
        talk.login();
        assert_eq!(talk.write_ok("a.b"), ("t-1".to_owned(), vec!["{\"id\":\"1\"}".to_owned()]));
        talk.expect("READ a.b FROM earliest FOLLOW");
        talk.say("220 DATA\n{\"id\":\"1\"}");
        talk.expect("DONE");
        talk.say("220 OK");
        talk.quit();
    });
    let mut connection = Connection::open(&agent(&fake), Trace::silent()).await.unwrap();
    assert_eq!(connection.greeting(), "fnaa.unix.ar FNAA");
    let flow: fnap::Name = "a.b".parse().unwrap();
    let answer = connection
        .write(flow.clone(), Some("t-1".parse().unwrap()), ["{\"id\":\"1\"}"])
        .await
        .unwrap();
    assert_eq!(answer.subject(), "1 events");
    let read = Read { from: Some(Start::Earliest), follow: true, ..Read::new(flow) };
    connection.read(read).await.unwrap();
    assert_eq!(connection.next_line().await.unwrap().unwrap(), "{\"id\":\"1\"}");
    connection.done().await.unwrap();
    assert_eq!(connection.next_line().await.unwrap(), None);
    connection.quit().await;
    fake.finish();
}

#[tokio::test]
async fn a_no_of_the_host_leaves_the_connection_usable() {
    let fake = Fake::once(|talk| {
        talk.login();
        talk.line();
        talk.say("404 NOT_FOUND flow a.b");
        talk.expect("NOOP");
        talk.say("220 OK");
        talk.quit();
    });
    let mut connection = Connection::open(&agent(&fake), Trace::silent()).await.unwrap();
    let refused = connection.write("a.b".parse().unwrap(), None, ["{}"]).await.unwrap_err();
    assert!(
        matches!(&refused, Error::Refused(failure) if failure.code == fnap::Code::NotFound),
        "{refused}"
    );
    connection.command(&fnap::Command::Noop).await.unwrap();
    connection.quit().await;
    fake.finish();
}
