//! The tables of the file about what answers carry: `[server.hsts]` and `[route.NAME.response_headers]`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::reading::Field;
use super::units::{Named, OneOrMany, RawText, Timespan};

/// `[server.hsts]`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct HstsTable {
    /// How long browsers use https only. `0s` has them forget.
    pub(super) max_age: Field<Timespan>,
    /// Whether the same holds for all hosts below.
    pub(super) include_subdomains: Field<bool>,
    /// Whether the domain may be put on the list that browsers are shipped with.
    pub(super) preload: Field<bool>,
}

/// `[route.NAME.response_headers]`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ResponseHeadersTable {
    /// Fields in place of the application's: a value, or a list of values for as many fields.
    pub(super) set: Field<Named<OneOrMany<RawText>>>,
    /// Fields behind the application's.
    pub(super) add: Field<Named<OneOrMany<RawText>>>,
    /// Names of fields that are taken out.
    pub(super) remove: Field<OneOrMany<String>>,
}
