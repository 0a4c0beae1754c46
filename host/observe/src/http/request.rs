//! The head of a request: what is asked for, or why it is not answered.

use super::{TEXT, response};

/// Header lines of a request: browsers send twenty.
const MAX_HEADERS: usize = 64;

/// A page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Metrics,
    Live,
    Ready,
}

/// A request that can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) page: Page,
    /// HEAD: everything but the body.
    pub(super) head_only: bool,
}

/// One that cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Nonsense,
    NoPage,
    NotThisWay,
    TooSlow,
    TooLarge,
}

impl Refusal {
    pub(super) fn answer(self) -> Vec<u8> {
        let (status, body, more): (_, _, &[(&str, &str)]) = match self {
            Self::Nonsense => ("400 Bad Request", "not an HTTP/1 request\n", &[]),
            Self::NoPage => ("404 Not Found", "there are /metrics, /livez and /readyz\n", &[]),
            Self::NotThisWay => {
                ("405 Method Not Allowed", "only GET and HEAD\n", &[("Allow", "GET, HEAD")])
            }
            Self::TooSlow => ("408 Request Timeout", "the request did not come in time\n", &[]),
            Self::TooLarge => {
                ("431 Request Header Fields Too Large", "the request's head is too large\n", &[])
            }
        };
        response(status, TEXT, more, body, false)
    }
}

/// `None` while the head is not complete.
pub(super) fn parse(head: &[u8]) -> Option<Result<Asked, Refusal>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(status) if status.is_partial() => return None,
        Ok(_) => {}
        Err(httparse::Error::TooManyHeaders) => return Some(Err(Refusal::TooLarge)),
        Err(_) => return Some(Err(Refusal::Nonsense)),
    }
    let path = request.path.unwrap_or_default();
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let page = match path {
        "/metrics" => Page::Metrics,
        "/livez" => Page::Live,
        "/readyz" => Page::Ready,
        _ => return Some(Err(Refusal::NoPage)),
    };
    Some(match request.method {
        Some("GET") => Ok(Asked { page, head_only: false }),
        Some("HEAD") => Ok(Asked { page, head_only: true }),
        _ => Err(Refusal::NotThisWay),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(head: &str) -> Option<Result<Asked, Refusal>> {
        parse(head.as_bytes())
    }

    #[test]
    fn a_request_is_one_of_three_pages_by_get_or_head() {
        let asked = |page, head_only| Some(Ok(Asked { page, head_only }));
        assert_eq!(parsed("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"), asked(Page::Metrics, false));
        assert_eq!(parsed("HEAD /readyz?verbose HTTP/1.0\r\n\r\n"), asked(Page::Ready, true));
        assert_eq!(parsed("GET /livez HTTP/1.1\r\n\r\n"), asked(Page::Live, false));
        assert_eq!(parsed("GET / HTTP/1.1\r\n\r\n"), Some(Err(Refusal::NoPage)));
        assert_eq!(parsed("GET /metrics/../x HTTP/1.1\r\n\r\n"), Some(Err(Refusal::NoPage)));
        assert_eq!(parsed("POST /metrics HTTP/1.1\r\n\r\n"), Some(Err(Refusal::NotThisWay)));
    }

    #[test]
    fn what_is_no_request_is_refused_and_what_may_become_one_is_waited_for() {
        assert_eq!(parsed("GET /metr"), None);
        assert_eq!(parsed("GET /metrics HTTP/1.1\r\nHost: a\r\n"), None);
        for head in
            ["AUTHENTICATE PLAIN AA\r\n\r\n", "\u{16}\u{3}\u{1}", "GET /metrics HTTP/2.0\r\n\r\n"]
        {
            assert_eq!(parsed(head), Some(Err(Refusal::Nonsense)), "{head:?}");
        }
        let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(MAX_HEADERS + 1));
        assert_eq!(parsed(&many), Some(Err(Refusal::TooLarge)));
    }
}
