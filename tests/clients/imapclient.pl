# Mail::IMAPClient: what mail scripts in Perl do. imapclient.pl PORT USER PASSWORD CERTIFICATE
use strict;
use warnings;
use IO::Socket::SSL;
use Mail::IMAPClient;

my ($port, $user, $password, $certificate) = @ARGV;
my $socket = IO::Socket::SSL->new(
    PeerAddr => 'localhost', PeerPort => $port, SSL_ca_file => $certificate, SSL_verifycn_name => 'localhost',
    SSL_verifycn_scheme => 'imap',
) or die "no TLS: $IO::Socket::SSL::SSL_ERROR";
my $imap = Mail::IMAPClient->new(Socket => $socket, User => $user, Password => $password, Uid => 1)
    or die "no login: $@";
sub must { my ($what, $value) = @_; die "$what: " . ($imap->LastError // '?') unless defined $value; return $value }

die 'no UIDPLUS' unless $imap->has_capability('UIDPLUS');
must('create', $imap->create('Perl'));
must('exists', $imap->exists('Perl'));
must('subscribe', $imap->subscribe('Perl'));
must('select', $imap->select('INBOX'));
my @all = $imap->messages;
die "messages: @all" unless @all == 2;
my ($one) = $imap->search('SUBJECT', $imap->Quote('one'));
my ($two) = $imap->search('SUBJECT', $imap->Quote('two'));
my $structure = must('bodystructure', $imap->get_bodystructure($one));
die 'type' unless lc $structure->bodytype eq 'text';
my $envelope = must('envelope', $imap->get_envelope($one));
die 'subject ' . $envelope->subject unless $envelope->subject eq 'one';
my $fields = must('headers', $imap->parse_headers($one, 'Subject', 'From'));
die 'header' unless $fields->{Subject}[0] eq 'one';
die 'size' unless must('size', $imap->size($one)) == length must('message', $imap->message_string($one));
must('flag', $imap->set_flag('Flagged', $two));
must('move', $imap->move('Perl', $one));
must('expunge', $imap->expunge);
die 'left' unless must('count', $imap->message_count('INBOX')) == 1;
my $uid = must('append', $imap->append_string('Perl', "Subject: three\r\n\r\nText\r\n"));
must('select', $imap->select('Perl'));
must('delete', $imap->delete_message($uid));
must('uidexpunge', $imap->uidexpunge($uid));
die 'unseen' unless must('unseen', $imap->unseen_count('Perl')) <= 1;
must('folders', $imap->folders);
must('quota', $imap->getquotaroot('INBOX'));
must('idle', my $tag = $imap->idle);
must('done', $imap->done($tag));
must('logout', $imap->logout);
print "done\n";
