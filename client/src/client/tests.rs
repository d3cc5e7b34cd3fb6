use super::*;

#[test]
fn only_urls_of_http_are_taken() {
    assert!(parse_url("http://localhost:8000/synod").is_ok());
    assert!(parse_url("https://localhost/synod").is_ok());
    for bad in ["localhost:8000", "ftp://a", "http://a/?q=1", "http://u@a", "http://"] {
        assert!(parse_url(bad).is_err(), "{bad}");
    }
}

#[test]
fn addresses_are_set_apart_by_commas_and_blanks() {
    let urls = parse_urls(" http://a:1,http://b:2  http://c:3/synod, ").unwrap();
    let client = Client::of_urls(&urls).unwrap();
    let bases: Vec<&str> = client.addresses.bases.iter().map(Address::text).collect();
    assert_eq!(bases, ["http://a:1", "http://b:2", "http://c:3/synod"]);
    assert!(parse_urls(" , ").is_err() && parse_urls("http://a b").is_err());
    assert!(parse_urls(&"http://a ".repeat(MAX_ADDRESSES + 1)).is_err());
    assert!(matches!(Client::new(""), Err(Error::Invalid(_))));
}

#[test]
fn the_address_that_failed_is_left_once_however_many_requests_saw_it_fail() {
    let client = Client::new("http://a:1 http://b:2 http://c:3").unwrap();
    for _ in 0..3 {
        client.addresses.advance(0);
    }
    assert_eq!(client.address(), "http://b:2");
    client.turn_away();
    client.turn_away();
    assert_eq!(client.address(), "http://a:1");
}
