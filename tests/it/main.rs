//! The integration tests: whole gateways over loopback, with a provider and an application that record what they were sent.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

mod harness;

mod access_log;
mod answer_headers;
mod as_sent;
mod asked_again;
mod basic_credentials;
mod bugreport;
mod callback;
mod claims;
mod client_authentication;
mod clock_steps;
mod cookies;
mod discovery;
mod doctor;
mod door;
mod failures;
mod form_post;
mod forwarded;
mod forwarding;
mod harness_itself;
mod http2;
mod id_token;
mod identity_headers;
mod init;
mod inspect;
mod judged_host;
mod judgement;
mod junk_callbacks;
mod key_file;
mod key_rotation;
mod key_set;
mod lifetimes;
mod limits;
mod lists;
mod log_readers;
mod login_params;
mod logout;
mod logs;
mod malformed;
mod mapped_answers;
mod mapped_paths;
mod mapped_readings;
mod memory;
mod moved;
mod navigation;
mod no_login;
mod one_name;
mod open_redirects;
mod operation;
mod optional;
mod outgoing_proxy;
mod outwitted;
mod pages;
mod paths;
mod plain_oauth2;
mod program;
mod provider_log;
mod provider_logout;
mod provider_start;
mod readings;
mod refresh;
mod refresh_faults;
mod reload;
mod second_round;
mod secrets;
mod session_page;
mod session_too_large;
mod several_providers;
mod shown;
mod sign_in;
mod sign_in_failures;
mod smuggling;
mod sse;
mod starting;
mod stopping;
mod switch_account;
mod ten_tabs;
mod tenants;
mod third_party_login;
mod tls_listener;
mod tls_versions;
mod token_endpoint;
mod traces;
mod user_name;
mod userinfo;
mod websocket;
