# The monotonic clock in nanoseconds, the same for every process of the machine. Only modules of Debian's perl-base
# are used anywhere here, so the tools run on every Debian machine; that one lacks Time::HiRes, hence the system call.
use strict;
use warnings;
use POSIX ();

my %CLOCK_GETTIME = (x86_64 => 228, aarch64 => 113);
my $machine = (POSIX::uname())[4];
my $number = $CLOCK_GETTIME{$machine} // die "Cannot measure: no clock is known for $machine; use x86_64 or aarch64\n";
my $timespec = pack('q2', 0, 0);

sub now_ns {
  syscall($number, 1, $timespec);
  my ($seconds, $nanoseconds) = unpack('q2', $timespec);
  return $seconds * 1_000_000_000 + $nanoseconds;
}

sub pause_us { select(undef, undef, undef, $_[0] / 1_000_000) if $_[0] > 0 }

1;
