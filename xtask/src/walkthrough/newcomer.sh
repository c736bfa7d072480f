# Makes a user account that exists in this mount namespace alone, and runs the test of the walk there.
# Run by root, by `cargo xtask walkthrough`. All that it writes lies beneath PLACE, or in memory.
place=$1 program=$2 toolchain=$3 registry=$4 cache=$5 repository=$6 test=$7
name=newcomer

# What the machine is set up with once: crates, llama-server and the model. No credential of cargo.
# Copied before anything is mounted, wherever it lies.
mkdir -p "$place"/{home,rust,target,skel/.cargo/registry,skel/.cache/companion-dev}
mkdir -p -m 1777 "$place/tmp"
cp -r "$registry"/{index,cache} "$place/skel/.cargo/registry"
find "$cache" -maxdepth 1 -type f -exec cp -t "$place/skel/.cache/companion-dev" {} +
git clone --quiet --bare "$repository" "$place/origin.git"
cp "$program" "$place/walk"

# Reached by everybody, and in the place of what this machine has.
mount --bind "$place" /mnt
mount --bind "$toolchain" /mnt/rust
mount -o remount,bind,ro /mnt/rust
mount --bind /mnt/home /home
mount --bind /mnt/tmp /tmp
mount -t tmpfs -o mode=0755 tmpfs /run

# The account: written to a layer above /etc.
mkdir -p /run/etc/{changed,work} /run/user
mount -t overlay -o lowerdir=/etc,upperdir=/run/etc/changed,workdir=/run/etc/work overlay /etc
useradd --create-home --skel /mnt/skel --no-log-init --shell /bin/bash "$name"
home=$(getent passwd "$name" | cut -d: -f6)
uid=$(id -u "$name")
gid=$(id -g "$name")
install -d -m 0700 -o "$uid" -g "$gid" "/run/user/$uid"
chown -R "$uid:$gid" /mnt/origin.git /mnt/target

status=0
setpriv --reuid "$uid" --regid "$gid" --init-groups --inh-caps=-all --bounding-set=-all \
    env -i HOME="$home" USER="$name" LOGNAME="$name" LANG=C.UTF-8 XDG_RUNTIME_DIR="/run/user/$uid" \
    PATH=/mnt/rust/bin:/usr/local/bin:/usr/bin:/bin CARGO=/mnt/rust/bin/cargo \
    COMPANION_WALKTHROUGH_ACCOUNT="$home" \
    COMPANION_WALKTHROUGH_ORIGIN=/mnt/origin.git COMPANION_WALKTHROUGH_TARGET=/mnt/target \
    bash -c 'cd && exec /mnt/walk --ignored --exact "$1" --nocapture' walk "$test" || status=$?

# The next account may have another number.
chown -R 0:0 /mnt/target
exit "$status"
