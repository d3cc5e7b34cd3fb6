//! What requests hold while they are under way.

use axum::response::IntoResponse as _;

use super::*;
use crate::handle::Refusal;

#[tokio::test]
async fn a_page_holds_its_place_until_it_is_sent() {
    let places = Arc::new(Semaphore::new(1));
    let place = Arc::clone(&places).try_acquire_owned().unwrap();
    let page = hold(place, "votes".into_response());
    assert_eq!(places.available_permits(), 0, "it waits for a slow reader");
    assert_eq!(page.into_body().collect().await.unwrap().to_bytes(), "votes");
    assert_eq!(places.available_permits(), 1);
}

#[test]
fn whoever_is_refused_hears_whether_to_come_again() {
    let said = |refusal| {
        let problem = refused(refusal);
        (problem.status().as_u16(), problem.body().retryable)
    };
    assert_eq!(said(Refusal::Busy { limit: "9 requests".to_owned() }), (503, Some(true)));
    let spent = shared::byte_budget::BudgetSpent { limit: 9 };
    assert_eq!(said(spent.into()), (503, Some(true)));
    assert_eq!(said(Refusal::NoSpace("full".to_owned())), (507, Some(true)));
    assert_eq!(said(Refusal::Closed), (503, Some(true)));
}
