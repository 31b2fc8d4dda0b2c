#!/usr/bin/perl
# The client of the benchmark: runs in a client's namespace and does what it is told on standard input, one command a
# line; answers one line per result. Perl, because a blocking connect() in a tight loop costs little else here, and
# because it is on every Debian machine. Addresses are written `ip:port`.
#
#   until EXPECTED TIMEOUT_MS PAUSE_US TARGET   connect until the answer is EXPECTED; "watching" after the first answer,
#                                               then "seen NS ATTEMPTS FAILED" or "timeout ATTEMPTS FAILED"
#   all TIMEOUT_MS TARGET…                      try each until it answers, in order; "done NS" or "timeout INDEX"
#   connect COUNT TARGET…                       COUNT rounds of one connect() to each in turn; a line of ns per target
#   udp COUNT TARGET…                           the same with one datagram and its answer over a new socket
#   spread COUNT TARGET                         who answered COUNT connections: "address=count …"
#   http TIMEOUT_MS INTERVAL_MS TARGET PATH     ask again and again; "STATUS=count … longest NS" at the end
use strict;
use warnings;
use Socket;
use FindBin ();
require "$FindBin::Bin/clock.pl";

$| = 1;
$SIG{PIPE} = 'IGNORE';
my $AT_ONCE = pack('ii', 1, 0);
my %MICROSECONDS;

sub timeval { return $MICROSECONDS{$_[0]} //= pack('q2', int($_[0] / 1_000_000), $_[0] % 1_000_000) }

sub address_of {
  my ($ip, $port) = $_[0] =~ /^(.+):(\d+)$/ or die "Cannot read the target \"$_[0]\"\n";
  return pack_sockaddr_in($port, inet_aton($ip));
}

# A connected socket, or nothing after 50 ms: a lost SYN is not waited for, the next attempt sends another.
sub dial {
  my ($address, $timeout_us) = @_;
  socket(my $socket, PF_INET, SOCK_STREAM, 0) or die "Cannot open a socket: $!\n";
  setsockopt($socket, SOL_SOCKET, SO_LINGER, $AT_ONCE);
  setsockopt($socket, SOL_SOCKET, SO_SNDTIMEO, timeval($timeout_us // 50_000));
  return connect($socket, $address) ? $socket : undef;
}

# What the server says first: its own address, as it was asked.
sub answer_of {
  my ($address) = @_;
  my $socket = dial($address) or return undef;
  setsockopt($socket, SOL_SOCKET, SO_RCVTIMEO, timeval(200_000));
  my $text = '';
  return defined(recv($socket, $text, 64, 0)) && length($text) ? $text : undef;
}

sub until_seen {
  my ($expected, $timeout_ms, $pause_us, $target) = @_;
  my $address = address_of($target);
  my ($attempts, $failed, $watching) = (0, 0, 0);
  my $end = now_ns() + $timeout_ms * 1_000_000;
  while (1) {
    my $text = answer_of($address);
    my $now = now_ns();
    $attempts++;
    $failed++ unless defined $text;
    return "seen $now $attempts $failed" if defined $text && $text eq $expected;
    return "timeout $attempts $failed" if $now > $end;
    if (defined $text && !$watching) { $watching = 1; print "watching\n" }
    pause_us($pause_us);
  }
}

sub all_answer {
  my ($timeout_ms, @targets) = @_;
  my $end = now_ns() + $timeout_ms * 1_000_000;
  for my $index (0 .. $#targets) {
    my $address = address_of($targets[$index]);
    until (dial($address)) {
      return "timeout $index" if now_ns() > $end;
      pause_us(2_000);
    }
  }
  return 'done ' . now_ns();
}

sub time_connects {
  my ($count, @targets) = @_;
  my @addresses = map { address_of($_) } @targets;
  my @times = map { [] } @targets;
  for my $round (-100 .. $count - 1) {
    for my $index (0 .. $#addresses) {
      socket(my $socket, PF_INET, SOCK_STREAM, 0) or die "Cannot open a socket: $!\n";
      setsockopt($socket, SOL_SOCKET, SO_LINGER, $AT_ONCE);
      my $start = now_ns();
      my $connected = connect($socket, $addresses[$index]);
      my $took = now_ns() - $start;
      push @{$times[$index]}, $connected ? $took : -1 if $round >= 0;
    }
  }
  return join("\n", map { join(' ', @$_) } @times);
}

sub time_datagrams {
  my ($count, @targets) = @_;
  my @addresses = map { address_of($_) } @targets;
  my @times = map { [] } @targets;
  for my $round (-100 .. $count - 1) {
    for my $index (0 .. $#addresses) {
      socket(my $socket, PF_INET, SOCK_DGRAM, 0) or die "Cannot open a socket: $!\n";
      setsockopt($socket, SOL_SOCKET, SO_RCVTIMEO, timeval(200_000));
      my $text;
      my $start = now_ns();
      my $answered = defined(send($socket, 'x', 0, $addresses[$index])) && defined(recv($socket, $text, 64, 0));
      my $took = now_ns() - $start;
      push @{$times[$index]}, $answered ? $took : -1 if $round >= 0;
    }
  }
  return join("\n", map { join(' ', @$_) } @times);
}

sub spread {
  my ($count, $target) = @_;
  my $address = address_of($target);
  my %answers;
  $answers{answer_of($address) // 'failed'}++ for 1 .. $count;
  return join(' ', map { "$_=$answers{$_}" } sort keys %answers);
}

# The status of one HTTP request, or 0.
sub status_of {
  my ($address, $path) = @_;
  my $socket = dial($address, 5_000_000) or return 0;
  setsockopt($socket, SOL_SOCKET, SO_RCVTIMEO, timeval(20_000_000));
  send($socket, "GET $path HTTP/1.0\r\nHost: localhost\r\n\r\n", 0);
  my $text;
  recv($socket, $text, 256, 0);
  return defined $text && $text =~ /^HTTP\S+ (\d+)/ ? $1 : 0;
}

# Until somebody closes us or the time is over; connections that nobody takes yet do not count as waiting.
sub ask_http {
  my ($timeout_ms, $interval_ms, $target, $path) = @_;
  my $address = address_of($target);
  my $end = now_ns() + $timeout_ms * 1_000_000;
  my ($longest, %statuses) = (0);
  while (now_ns() < $end) {
    my $start = now_ns();
    my $status = status_of($address, $path);
    my $took = now_ns() - $start;
    $statuses{$status}++;
    $longest = $took if $status && $took > $longest;
    pause_us($interval_ms * 1_000);
  }
  return join(' ', (map { "$_=$statuses{$_}" } sort keys %statuses), 'longest', $longest);
}

my %COMMANDS = (
  until => \&until_seen, all => \&all_answer, connect => \&time_connects, udp => \&time_datagrams,
  spread => \&spread, http => \&ask_http,
);
print "ready\n";
while (my $line = <STDIN>) {
  my ($command, @words) = split ' ', $line;
  my $action = $COMMANDS{$command // ''} or die "Cannot do \"$line\": no such command\n";
  print $action->(@words), "\n";
}
