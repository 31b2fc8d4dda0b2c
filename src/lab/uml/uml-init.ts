/**
 * The first program of a user-mode-linux guest: a shell script that makes the borrowed root file system usable, runs
 * one command and powers off. Everything that varies is quoted, so no value can become a command of its own.
 */
export interface UmlInit {
  readonly command: string
  readonly args: readonly string[]
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  /** Folder of the host that holds `modules/lib/modules/<version>`, `modprobe` and, at the end, `exit-code`. */
  readonly workDir: string
  /** The guest powers off after so many seconds whatever happens, so that no forgotten machine lives on. */
  readonly lifetimeSeconds: number
}

/** `'it'\''s'`: one word for a POSIX shell, whatever it holds. */
export function quoteWord(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`
}

/** What the guest kernel calls when it wants a module; `-d` makes it work without `/lib/modules` and without root. */
export function renderModprobe(workDir: string): string {
  return `#!/bin/sh\nexec /sbin/modprobe -d ${quoteWord(`${workDir}/modules`)} "$@"\n`
}

export function renderInit(init: UmlInit): string {
  const at = (name: string) => quoteWord(`${init.workDir}/${name}`)
  const exports = Object.entries(init.env).map(([name, value]) => `export ${name}=${quoteWord(value)}`)
  return [
    '#!/bin/sh',
    'export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    `export MODPROBE=${at('modprobe')}`,
    'mount -t proc proc /proc',
    'mount -t sysfs sysfs /sys',
    'mount -t tmpfs -o mode=755 tmpfs /run',
    // The host's /tmp stays visible, since a checkout may live there; scratch files go to memory all the same.
    'mkdir -p /run/tmp /run/home /run/netns /dev/pts /dev/shm',
    'chmod 1777 /run/tmp',
    'mount -t devpts devpts /dev/pts',
    'mount -t tmpfs tmpfs /dev/shm',
    'for name in fd:fd stdin:fd/0 stdout:fd/1 stderr:fd/2; do',
    '  [ -e "/dev/${name%%:*}" ] || ln -s "/proc/self/${name#*:}" "/dev/${name%%:*}"',
    'done',
    `echo ${at('modprobe')} > /proc/sys/kernel/modprobe`,
    // Linux 6.12 as a process does not survive that a program which mapped an io_uring, as Node does, ends.
    '[ ! -e /proc/sys/kernel/io_uring_disabled ] || echo 2 > /proc/sys/kernel/io_uring_disabled',
    // IPv6 is a module here; whoever asks whether the kernel has it must find it.
    '"$MODPROBE" ipv6',
    'ip link set lo up',
    `( sleep ${init.lifetimeSeconds}; echo o > /proc/sysrq-trigger ) &`,
    'export HOME=/run/home TMPDIR=/run/tmp LC_ALL=C.UTF-8',
    ...exports,
    'stty raw -echo < /dev/ttyS0',
    `cd ${quoteWord(init.cwd)} && ${[init.command, ...init.args].map(quoteWord).join(' ')} < /dev/null > /dev/ttyS0 2>&1`,
    `echo $? > ${at('exit-code')}`,
    // The serial line must be drained before the power goes.
    'stty -F /dev/ttyS0 cooked',
    'sync',
    'echo o > /proc/sysrq-trigger',
    'sleep 60',
    '',
  ].join('\n')
}
