//! `users` on a base: programs of the image know the accounts of both.

use std::fs;

use treelay_tests::Env;
use treelay_tests::tools::program;

const BASE: &str = r##"
name: base
version: "1"
arch: [amd64]
epoch: 1700000000
layers:
  - name: root
    files:
      - {path: /bin/busybox, source: busybox, mode: "0755"}
      - {path: /etc/passwd, content: "root:x:0:0:Super User:/root:/bin/sh\nwww:x:33:33::/var/www:/bin/false\n"}
      - {path: /etc/group, content: "root:x:0:\nlogs:x:4:www\nwww:x:33:\n"}
      - {path: /etc/shadow, content: "root:*:19000::::::\nwww:*:19000::::::\n", mode: "0640", gid: 4}
      - {path: /var/www, dir: true, mode: "0775", uid: 33, gid: 33}
"##;

const UPPER: &str = r##"
name: upper
version: "1"
arch: [amd64]
epoch: 1700000000
layers:
  - name: users
    users:
      accounts:
        - {name: app, uid: 65532, home: /srv/app}
        - {name: www, uid: 33, home: /var/www}
      groups:
        - {name: logs, gid: 4, members: [app]}
  - name: site
    files:
      - {path: /srv/index, content: "x\n", user: www, mode: "0400"}
image:
  base: "oci:base:1"
  config: {user: app, entrypoint: [/bin/busybox]}
"##;

#[test]
fn accounts_of_base_and_recipe_are_known_in_one_image() {
    let env = Env::new();
    env.write("busybox", fs::read(program("busybox")).unwrap());
    env.write("base.yaml", BASE);
    env.treelay(["build", "base.yaml", "-o", "oci:base"]).ok();
    env.write("upper.yaml", UPPER);
    env.treelay(["build", "upper.yaml", "-o", "oci:upper"]).ok();
    let again = env.treelay(["build", "upper.yaml", "-o", "oci:upper", "--json", "--locked"]).ok();
    assert_eq!(again.json()["images"][0]["layers"][0]["cached"], true);

    let image = format!("oci:{}:1", env.path("upper").display());
    let run =
        |args: &[&str]| env.podman(["run", "--rm", "--network=none", &image]).args(args).ok().out();
    assert_eq!(run(&["id"]), "uid=65532(app) gid=65532(app) groups=4(logs),65532(app)\n");
    assert_eq!(run(&["stat", "-c", "%U %G %a", "/srv/index"]), "www www 400\n");
    assert_eq!(run(&["stat", "-c", "%U %G %a", "/var/www"]), "www www 775\n");
    assert_eq!(run(&["stat", "-c", "%U %G %a", "/srv/app"]), "app app 700\n");
    assert_eq!(run(&["stat", "-c", "%U %G %a", "/etc/shadow"]), "root logs 640\n");
    assert_eq!(
        run(&["cat", "/etc/passwd", "/etc/group"]),
        "root:x:0:0:Super User:/root:/bin/sh\nwww:x:33:33::/var/www:/bin/false\n\
         app:x:65532:65532::/srv/app:/sbin/nologin\n\
         root:x:0:\nlogs:x:4:www,app\nwww:x:33:\napp:*:65532:\n"
    );
    let shadow = env.podman(["run", "--rm", "--network=none", "--user=0", &image]);
    let shadow = shadow.args(["cat", "/etc/shadow"]).ok().out();
    assert_eq!(shadow, "root:*:19000::::::\nwww:*:19000::::::\napp:!:::::::\n");

    let clash = UPPER.replace("name: www, uid: 33", "name: www, uid: 80");
    env.write("clash.yaml", clash);
    env.treelay(["build", "clash.yaml", "-o", "oci:clash"])
        .refuses()
        .says("adding the accounts of layer \"users\" to those of oci:base:1")
        .says(
            "the account www of the layer is uid 80 gid 80 home /var/www, and the base has \
             \"www:x:33:33::/var/www:/bin/false\" in /etc/passwd",
        );
}
