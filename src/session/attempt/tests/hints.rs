//! What a link handed on stays with its attempt, as far as the cookie has room.

use super::*;

/// What a link handed on, as [`Hints`] are kept.
fn hints(pairs: &[(&str, &str)]) -> Hints {
    postcard::from_bytes(&postcard::to_stdvec(pairs).unwrap()).unwrap()
}

#[test]
fn what_a_link_handed_on_comes_back_with_the_attempt() {
    let attempts = attempts();
    let given = hints(&[("login_hint", "ann"), ("acr_values", "gold"), ("max_age", "60")]);
    let attempt = attempts.start(Intent { hints: given.clone(), ..intent("/page") }, NOW).unwrap();
    let found = attempts.find(&scan(&[cookie_of(&attempts, &attempt)]), Some(attempt.state.expose()), NOW).unwrap();
    assert_eq!(found.intent.hints, given);
    assert_eq!(
        (found.intent.hints.acr_values(), found.intent.hints.max_age()),
        (vec!["gold"], Some(Duration::from_secs(60)))
    );
}

#[test]
fn hints_that_do_not_fit_are_forgotten_and_what_is_checked_is_not() {
    // CK-09
    let attempts = attempts();
    let long = "x".repeat(512);
    let names: Vec<String> = (0..8).map(|n| format!("hint{n}")).collect();
    let mut pairs: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), long.as_str())).collect();
    pairs.push(("acr_values", "gold"));
    let attempt = attempts.start(Intent { hints: hints(&pairs), ..intent("/page") }, NOW).unwrap();
    assert!(attempts.begin(&attempt, &scan(&[]), NOW).lines[0].len() <= LINE_MAX);
    let found = attempts.find(&scan(&[cookie_of(&attempts, &attempt)]), Some(attempt.state.expose()), NOW).unwrap();
    assert_eq!(found.intent.hints, hints(&[("acr_values", "gold")]));
}
