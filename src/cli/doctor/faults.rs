//! What `doctor` can find, each with its code of the one registry.

use serde_json::{Value, json};

use crate::cli::say;

macro_rules! faults {
    ($($name:ident $number:literal $reason:literal;)+) => {
        /// What is wrong with a deployment.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub(super) enum Fault {
            $(#[doc = concat!("`", $number, " ", $reason, "`")] $name,)+
        }

        impl Fault {
            /// Every fault, in the order of their numbers.
            #[cfg(test)]
            const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// `VB-6001`, for `vestibule explain`.
            fn number(self) -> &'static str {
                match self {
                    $(Self::$name => $number,)+
                }
            }

            /// The same in words.
            fn reason(self) -> &'static str {
                match self {
                    $(Self::$name => $reason,)+
                }
            }
        }
    };
}

faults! {
    NotHttps "VB-6001" "not_https";
    Certificate "VB-6002" "certificate_refused";
    NoSignIn "VB-6003" "no_sign_in";
    RedirectUri "VB-6004" "redirect_uri_elsewhere";
    Unprotected "VB-6005" "sign_in_unprotected";
    ProviderRefuses "VB-6006" "provider_refuses";
    CookieFlags "VB-6007" "cookie_flags";
    CookieSize "VB-6008" "cookie_size";
    HeaderBuffers "VB-6009" "header_buffers";
    ForgedHeader "VB-6010" "forged_header";
    Around "VB-6011" "reachable_around";
    HostBelieved "VB-6012" "host_believed";
    NoHsts "VB-6013" "no_hsts";
    PageOpen "VB-6014" "page_open";
}

impl Fault {
    /// Whether it may well be meant: then it is told, and does not fail the command.
    fn is_remark(self) -> bool {
        matches!(self, Self::NoHsts | Self::PageOpen)
    }
}

/// What was looked at, and what was found, in order.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

#[derive(Debug)]
struct Finding {
    /// `sign-in`, `cookies`.
    subject: &'static str,
    found: Found,
    message: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Found {
    Good,
    /// It cannot be seen from here.
    Unseen,
    Wrong(Fault),
}

impl Findings {
    /// It is as it should be.
    pub(super) fn good(&mut self, subject: &'static str, message: impl Into<String>) {
        self.0.push(Finding { subject, found: Found::Good, message: message.into() });
    }

    /// It cannot be known from outside.
    pub(super) fn unseen(&mut self, subject: &'static str, message: impl Into<String>) {
        self.0.push(Finding { subject, found: Found::Unseen, message: message.into() });
    }

    /// It is not.
    pub(super) fn wrong(&mut self, subject: &'static str, fault: Fault, message: impl Into<String>) {
        self.0.push(Finding { subject, found: Found::Wrong(fault), message: message.into() });
    }

    /// Whether anything fails the command.
    pub(super) fn fails(&self) -> bool {
        self.0.iter().any(|finding| matches!(finding.found, Found::Wrong(fault) if !fault.is_remark()))
    }

    /// For people.
    pub(super) fn say(&self) {
        for finding in &self.0 {
            let code = match finding.found {
                Found::Wrong(fault) => format!("[{}] ", fault.number()),
                Found::Good | Found::Unseen => String::new(),
            };
            say(&format!("{:<5}{}{}: {}\n", finding.verdict(), code, finding.subject, finding.message));
        }
        if self.0.iter().any(|finding| matches!(finding.found, Found::Wrong(_))) {
            say("`vestibule explain CODE` says what causes each, and what to do\n");
        }
    }

    /// For programs.
    pub(super) fn to_json(&self) -> Value {
        self.0.iter().map(Finding::to_json).collect()
    }
}

impl Finding {
    fn verdict(&self) -> &'static str {
        match self.found {
            Found::Good => "ok",
            Found::Unseen => "?",
            Found::Wrong(fault) if fault.is_remark() => "note",
            Found::Wrong(_) => "fail",
        }
    }

    fn to_json(&self) -> Value {
        let (code, reason) = match self.found {
            Found::Wrong(fault) => (Some(fault.number()), Some(fault.reason())),
            Found::Good | Found::Unseen => (None, None),
        };
        let verdict = if self.found == Found::Unseen { "unseen" } else { self.verdict() };
        json!({ "subject": self.subject, "verdict": verdict, "code": code, "reason": reason, "message": self.message })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes;

    #[test]
    fn the_registry_has_each_fault_and_no_other() {
        let listed: Vec<_> = codes::all().filter(|(number, _)| *number >= "VB-6000").collect();
        assert_eq!(listed.len(), Fault::ALL.len());
        for ((number, text), fault) in listed.iter().zip(Fault::ALL) {
            assert_eq!(*number, fault.number());
            assert_eq!(text.split_whitespace().nth(1), Some(fault.reason()));
        }
    }
}
