//! What images of commits, and other images that hosts boot, are called by in labels of their config
//! and annotations of their manifest: as rpm-ostree and bootc read them (ostree-ext,
//! `src/container/encapsulate.rs`).

/// The commit that is encapsulated.
pub const COMMIT: &str = "ostree.commit";
/// The diffID of the last layer that is the commit's.
pub const LAST_LAYER: &str = "ostree.final-diffid";
/// Hosts can boot it; the commit's own metadata says so by the same name.
pub const BOOTABLE: &str = "ostree.bootable";
/// The version of its kernel; the commit's own metadata has it by the same name.
pub const LINUX: &str = "ostree.linux";
/// Hosts can boot it, as bootc says so.
pub const BOOTC: &str = "containers.bootc";
/// The version that hosts show (image-spec, annotations.md).
pub const VERSION: &str = "org.opencontainers.image.version";

/// Those that are on images for hosts to boot, whatever their values are.
pub const OF_HOSTS: [&str; 2] = [BOOTC, BOOTABLE];
