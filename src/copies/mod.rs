//! Copies that stand under their names: whether one is sound, and the manifest beside it that says so.
//!
//! Making a copy is [`crate::snapshot`]'s business, and when it gets its name the command's. Here is what a copy is known by
//! afterwards, by the next `snapshot` that removes old ones, by `restore`, and by anybody with `sha256sum`.

mod check;
mod file_hash;
mod manifest;

pub(crate) use self::manifest::modified_ns;
pub use self::{
    check::{Check, Checked, Soundness, VerifiedBy, check},
    file_hash::{Hashed, Sha256Sum, hash_while_copying},
    manifest::{Compression, FileMode, HeaderFacts, LivePath, Manifest, ManifestError, Verified, manifest_path},
};
