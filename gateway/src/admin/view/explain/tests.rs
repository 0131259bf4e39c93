//! A question is a request, or says what is wrong with it.

use super::*;

fn question(method: &str, url: &str, headers: &[&str]) -> Question {
    let headers = headers.iter().map(|header| (*header).to_owned()).collect();
    Question { method: method.to_owned(), url: url.to_owned(), headers, gateway: None }
}

#[test]
fn a_url_names_host_port_path_and_query() {
    let asked = question("PUT", "http://Shop.Example.com:8080/a/b?c=d", &["X-A:  1 "]);
    let asked = asked.asked().unwrap();
    assert_eq!((&*asked.host, asked.port), ("shop.example.com", 8080));
    assert_eq!((&*asked.path, asked.query.as_deref()), ("/a/b", Some("c=d")));
    assert_eq!(asked.headers, [("x-a".to_owned(), "1".to_owned())]);
}

#[test]
fn the_scheme_says_the_port_that_a_url_does_not() {
    assert_eq!(question("GET", "http://a.example", &[]).asked().unwrap().port, 80);
    assert_eq!(question("GET", "https://a.example", &[]).asked().unwrap().port, 443);
    assert_eq!(question("GET", "https://a.example", &[]).asked().unwrap().path, "/");
}

#[test]
fn what_is_no_request_is_refused_and_quoted() {
    let url = |text: &str| Err(InvalidQuestion::Url(text.to_owned()));
    for text in ["", "a.example/x", "ftp://a.example/", "/x"] {
        assert_eq!(question("GET", text, &[]).asked(), url(text), "{text}");
    }
    let asked = question("GE T", "http://a/", &[]).asked();
    assert_eq!(asked, Err(InvalidQuestion::Method("GE T".to_owned())));
    let asked = question("GET", "http://a/", &["nothing"]).asked();
    assert_eq!(asked, Err(InvalidQuestion::Header("nothing".to_owned())));
}
