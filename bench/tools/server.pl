#!/usr/bin/perl
# All endpoints of the benchmark: one process in the namespace that owns their addresses.
#
#   server.pl TCP_PORT HTTP_PORT UDP_PORT UDP_ADDRESS…
#
# On TCP_PORT it tells every connection at once which address was asked; on HTTP_PORT it answers one request with the
# same; on UDP_PORT of the given addresses it sends back the datagram.
use strict;
use warnings;
use Socket;

$SIG{PIPE} = 'IGNORE';
$SIG{CHLD} = 'IGNORE';
my ($tcp_port, $http_port, $udp_port, @udp_addresses) = @ARGV;

sub listen_on {
  socket(my $socket, PF_INET, SOCK_STREAM, 0) or die "Cannot open a socket: $!\n";
  setsockopt($socket, SOL_SOCKET, SO_REUSEADDR, 1);
  bind($socket, pack_sockaddr_in($_[0], INADDR_ANY)) or die "Cannot listen on port $_[0]: $!\n";
  listen($socket, 4096);
  return $socket;
}

sub own_address { return inet_ntoa((unpack_sockaddr_in(getsockname($_[0])))[1]) }

sub serve_tcp {
  my $listener = listen_on($tcp_port);
  while (1) {
    accept(my $client, $listener) or next;
    send($client, own_address($client), 0);
  }
}

sub serve_http {
  my $listener = listen_on($http_port);
  fork() for 1;
  while (1) {
    accept(my $client, $listener) or next;
    recv($client, my $request, 4096, 0);
    my $text = own_address($client);
    send($client, "HTTP/1.1 200 OK\r\nContent-Length: " . length($text) . "\r\nConnection: close\r\n\r\n$text", 0);
  }
}

sub serve_udp {
  my ($bits, %sockets) = ('');
  for my $ip (@udp_addresses) {
    socket(my $socket, PF_INET, SOCK_DGRAM, 0) or die "Cannot open a socket: $!\n";
    bind($socket, pack_sockaddr_in($udp_port, inet_aton($ip))) or die "Cannot listen on $ip: $!\n";
    $sockets{fileno($socket)} = $socket;
    vec($bits, fileno($socket), 1) = 1;
  }
  while (1) {
    select(my $ready = $bits, undef, undef, undef);
    for my $number (keys %sockets) {
      next unless vec($ready, $number, 1);
      my $from = recv($sockets{$number}, my $text, 64, 0);
      send($sockets{$number}, $text, 0, $from) if defined $from;
    }
  }
}

my @workers = (\&serve_tcp, \&serve_http, @udp_addresses ? \&serve_udp : ());
my $first = shift @workers;
for my $worker (@workers) { my $pid = fork(); unless ($pid) { $worker->(); exit } }
$first->();
