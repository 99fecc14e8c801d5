//! What every table of the configuration has, as it is written.

/// What every table has: no key has to be there, and none is taken that is not known.
macro_rules! tables {
    ($($(#[$doc:meta])* pub(super) struct $table:ident { $($keys:tt)* })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        pub(super) struct $table { $($keys)* }
    )+};
}

pub(super) use tables;
