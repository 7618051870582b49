# test/t/085_ipmi.pl
#
# Real machines as others see them: from SELECT power_off(...) over the
# provider command and ipmitool to a baseboard management controller, which
# ipmi_sim of OpenIPMI is.

use strict;
use warnings FATAL => 'all';

use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use CloudTest;
use PowerActionSequence;
use PowerActionTest;

for my $program (qw(ipmi_sim ipmitool))
{
	plan skip_all => "$program is not installed"
	  if !grep { -x "$_/$program" } split /:/, $ENV{PATH};
}

my $dir = PostgreSQL::Test::Utils::tempdir('ipmi');
my @simulators;

END
{
	# keep the exit code of the test
	my $status = $?;
	$_->kill_kill(grace => 1) for @simulators;
	$? = $status;
}

sub write_program
{
	my ($name, $text) = @_;

	append_to_file("$dir/$name", $text);
	chmod 0755, "$dir/$name";
	return;
}

# What a simulator calls to power its machine, which is a file.
write_program('chassis', <<'PROGRAM');
#!/bin/sh
# chassis FILE ADDRESS get|set power [0|1]
case "$3 $4" in
	'get power') echo "power:$(cat "$1")" ;;
	'set power') echo "$5" >"$1" ;;
	*) exit 1 ;;
esac
PROGRAM

# Starts a controller; its machine runs.  Returns its address.
sub start_machine
{
	my ($name) = @_;
	my $port = PostgreSQL::Test::Cluster::get_free_port();

	append_to_file("$dir/$name.power", "1\n");
	mkdir "$dir/$name.state";
	append_to_file("$dir/$name.conf", <<"CONFIGURATION");
name "$name"
set_working_mc 0x20
startlan 1
addr 127.0.0.1 $port
priv_limit admin
allowed_auths_callback none md2 md5 straight
allowed_auths_user none md2 md5 straight
allowed_auths_operator none md2 md5 straight
allowed_auths_admin none md2 md5 straight
guid a123456789abcdefa123456789abcdef
endlan
chassis_control "$dir/chassis $dir/$name.power 0x20"
user 2 true "operator" "right" admin 10 none md2 md5 straight
CONFIGURATION
	append_to_file("$dir/$name.emu", <<'EMULATION');
mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
mc_enable 0x20
EMULATION
	push @simulators,
	  IPC::Run::start(
		[ 'ipmi_sim', '-c', "$dir/$name.conf", '-f', "$dir/$name.emu", '-s', "$dir/$name.state", '-n' ],
		'<', \undef, '>', \my $output, '2>&1');
	return "127.0.0.1:$port";
}

sub power_of
{
	my ($name) = @_;

	return slurp_file("$dir/$name.power") =~ s/\n//r;
}

# As an administrator would write it.
write_program('bmc', <<'PROGRAM');
#!/bin/sh
# bmc VERB CONTROLLER...: the provider command's program for machines with IPMI
verb=$1
shift

power()
{
	ipmitool -I lanplus -C 3 -N 1 -R 1 -H "${controller%:*}" -p "${controller#*:}" \
		-U operator -E chassis power "$1"
}

comma=
printf '{"instances": ['
for controller; do
	case $verb in
		start) power on >/dev/null || exit 69 ;;
		stop) power off >/dev/null || exit 69 ;;
	esac
	case $(power status) in
		*' on') state=running ;;
		*' off') state=stopped ;;
		*) exit 69 ;;
	esac
	printf '%s{"id": "%s", "state": "%s"}' "$comma" "$controller" "$state"
	comma=,
done
printf ']}'
PROGRAM

my %address = map { ($_ => start_machine($_)) } qw(one two three);
my $accounts = "$dir/accounts.ini";
my $section = "provider = command\nprogram = $dir/bmc\n";

write_accounts($accounts,
	"[prod]\n${section}environment = IPMI_PASSWORD=right\n"
	  . "[stranger]\n${section}environment = IPMI_PASSWORD=wrong\n");

# They answer when they are ready.
for my $name (sort keys %address)
{
	my ($host, $port) = split /:/, $address{$name};
	wait_until("machine $name answers",
		sub { !system("ipmitool -I lanplus -C 3 -N 1 -R 1 -H $host -p $port -U operator -P right chassis power status >$dir/status 2>&1") });
}

my $site = new_site('main',
	conf => "power_action.max_attempts = 2\n",
	agent => [ '--accounts', $accounts ]);

add_account($site, 'stranger', 'agent');
value($site, qq{
	INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name, region)
	VALUES ('rack', 'rack', 'prod', ''), ('other', 'other', 'prod', ''), ('theirs', 'theirs', 'stranger', '');
	INSERT INTO power_action.instance (cluster_id, instance_id)
	VALUES ('rack', '$address{one}'), ('rack', '$address{two}'),
		   ('other', '$address{three}')});

sub states
{
	my ($cluster) = @_;

	return value($site, qq{
		SELECT c.status || ': ' || string_agg(i.status, ' ')
		FROM power_action.cluster c JOIN power_action.instance i USING (cluster_id)
		WHERE cluster_id = '$cluster' GROUP BY c.status});
}

is(finish($site, request($site, 'power_off', 'rack')), 'success|confirmed', 'power_off');
is(states('rack'), 'stopped: stopped stopped', 'stops the machines');
is(join(' ', map { power_of($_) } qw(one two three)), '0 0 1', 'those of the cluster');
is(finish($site, request($site, 'power_on', 'rack')), 'success|confirmed', 'power_on');
is(states('rack'), 'running: running running', 'starts them');
is(join(' ', map { power_of($_) } qw(one two three)), '1 1 1', 'all of them');

# A wrong password: nothing happens, and ipmitool's words are there to read.
value($site, qq{
	UPDATE power_action.cluster SET account_name = 'stranger' WHERE cluster_id = 'other'});
my $refused = request($site, 'power_off', 'other');
like(finish($site, $refused), qr/^failed\|/, 'a wrong password');
like(event_value($site, $refused, 'error_message'),
	qr/exited with status 69: .*(session|RAKP|password)/i, 'in the words of ipmitool');
is(power_of('three'), '1', 'stops nothing');

ok_consistent($site);
done_testing();
