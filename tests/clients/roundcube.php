<?php
// Drives Roundcube's own protocol class (Debian's roundcube-core) as its web mail does, and checks what it understood.
// Arguments: port, user, certificate.
[, $port, $user, $certificate] = $argv;
$library = '/usr/share/roundcube/program/lib/Roundcube';
spl_autoload_register(function ($class) use ($library) {
    if (is_file("$library/$class.php")) require_once "$library/$class.php";
});

require_once "$library/bootstrap.php";

function check($what, $is, $wanted = true) {
    // It leaves numbers as text.
    if (json_encode($is, JSON_NUMERIC_CHECK) !== json_encode($wanted, JSON_NUMERIC_CHECK)) {
        global $imap;
        fwrite(STDERR, "$what: got " . var_export($is, true) . ", wanted " . var_export($wanted, true)
            . "; last error: {$imap->error}\n");
        exit(1);
    }
}

function letter($number, $subject, $refers = '') {
    $headers = "From: \"Ann Müller\" <ann@example.org>\r\nTo: bob@example.org\r\n"
        . "Date: Mon, 0$number Nov 2026 10:00:00 +0100\r\nMessage-ID: <$number@example.org>\r\n"
        . ($refers ? "References: $refers\r\nIn-Reply-To: $refers\r\n" : '') . "Subject: $subject\r\nMIME-Version: 1.0\r\n";
    return $headers . "Content-Type: multipart/mixed; boundary=\"=_b\"\r\n\r\n--=_b\r\n"
        . "Content-Type: text/plain; charset=UTF-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        . "Gr=C3=BC=C3=9Fe number $number\r\n--=_b\r\nContent-Type: application/octet-stream; name=\"a.bin\"\r\n"
        . "Content-Disposition: attachment; filename=\"a.bin\"\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        . base64_encode(str_repeat(chr($number), 300)) . "\r\n--=_b--\r\n";
}

$imap = new rcube_imap_generic();
$options = [
    'port' => (int) $port, 'ssl_mode' => 'ssl', 'auth_type' => 'PLAIN', 'timeout' => 20,
    'socket_options' => ['ssl' => ['cafile' => $certificate, 'verify_peer' => true, 'peer_name' => 'localhost']],
    'ident' => ['name' => 'Roundcube', 'version' => '1.6'],
];
check('connect', $imap->connect('localhost', $user, 'secret', $options));
check('namespace', $imap->getNamespace()['personal'][0][1], '/');
check('delimiter', $imap->getHierarchyDelimiter(), '/');
foreach (['SORT', 'THREAD=REFERENCES', 'ESEARCH', 'MOVE', 'QRESYNC', 'BINARY', 'LIST-STATUS', 'LIST-EXTENDED',
          'SPECIAL-USE', 'UIDPLUS', 'QUOTA', 'STATUS=SIZE'] as $word) {
    check("capability $word", (bool) $imap->getCapability($word));
}

// Folders, as its settings page makes and lists them.
check('create', $imap->createFolder('Entw&APw-rfe/2026', null));
check('create', $imap->createFolder('Ausgang'));
check('subscribe', $imap->subscribe('Entw&APw-rfe/2026'));
$list = $imap->listMailboxes('', '*');
check('list', is_array($list) && in_array('Entw&APw-rfe/2026', $list));
$subscribed = ['Archive', 'Drafts', 'Entw&APw-rfe/2026', 'INBOX', 'Junk', 'Sent', 'Trash'];
check('subscribed', $imap->listMailboxes('', '*', null, ['SUBSCRIBED']), $subscribed);
check('lsub', $imap->listSubscribed('', '*'), $subscribed);
check('special', in_array('Trash', $imap->listMailboxes('', '*', ['SUBSCRIBED'], ['SPECIAL-USE'])));
check('special use', in_array('\\Trash', $imap->data['LIST']['Trash'] ?? []));

// Mail, its lists, sorting and threads.
$texts = [letter(1, 'plans'), letter(2, '=?UTF-8?Q?=C3=84pfel?='), letter(3, 'Re: plans', '<1@example.org>')];
foreach ($texts as $index => $text) {
    check('append', is_numeric($imap->append('INBOX', $text, $index ? [] : ['SEEN'], '01-Nov-2026 10:00:0' . $index . ' +0000')));
}
check('count', $imap->countMessages('INBOX'), 3);
check('unseen', $imap->countUnseen('INBOX'), 2);
check('status', $imap->status('INBOX', ['UIDNEXT', 'SIZE'])['UIDNEXT'] ?? null, '4');
$headers = $imap->fetchHeaders('INBOX', '1:3', true, true, ['X-PRIORITY']);
check('headers', array_keys($headers), [1, 2, 3]);
check('subject', $headers[2]->subject, '=?UTF-8?Q?=C3=84pfel?=');
check('flags', $headers[1]->flags['SEEN'] ?? false);
check('structure', $headers[1]->bodystructure[1][0] ?? null, 'application');
check('sort', $imap->sort('INBOX', 'SUBJECT', '', true)->get(), [2, 1, 3]);
check('search', $imap->search('INBOX', 'HEADER SUBJECT plans', true)->get(), [1, 3]);
check('esearch', $imap->search('INBOX', 'UNSEEN', true, ['COUNT', 'MAX', 'ALL'])->max(), 3);
$search = $imap->search('INBOX', 'CHARSET UTF-8 TEXT ' . rcube_imap_generic::escape('Grüße number 2'), true);
check('text', $search->get(), [2]);
check('thread', $imap->thread('INBOX', 'REFERENCES', '', true)->get_tree(), [1 => [3 => []], 2 => []]);
check('index', array_keys($imap->index('INBOX', '1:*', 'DATE', false, true, true)->get()), [0, 1, 2]);

// Parts, encoded, decoded by the server (BINARY) and by itself.
check('part', trim($imap->handlePartBody('INBOX', 2, true, '1', 'quoted-printable')), 'Grüße number 2');
check('binary', $imap->handlePartBody('INBOX', 2, true, '2', 'base64'), str_repeat(chr(2), 300));
check('mime headers', strpos($imap->fetchMIMEHeaders('INBOX', 2, ['2'])['2'], 'a.bin') !== false);

// Flags, copy, move, expunge.
check('flag', $imap->flag('INBOX', '1,2', 'FLAGGED'));
check('keyword', $imap->flag('INBOX', '2', '$Forwarded') || $imap->flag('INBOX', '2', 'FORWARDED'));
check('copy', (bool) $imap->copy('1', 'INBOX', 'Entw&APw-rfe/2026'));
check('move', (bool) $imap->move('2', 'INBOX', 'Trash'));
check('deleted', $imap->flag('INBOX', '3', 'DELETED'));
check('expunge', $imap->expunge('INBOX', '3'));
check('left', $imap->countMessages('INBOX'), 1);
check('in trash', $imap->countMessages('Trash'), 1);

// Its message cache: QRESYNC.
check('enable', is_array($imap->enable('QRESYNC')));
$imap->close();
check('qresync', $imap->select('INBOX', [$imap->data['UIDVALIDITY'] ?? 1, 1]));
$imap->close();
check('qresync again', $imap->select('INBOX', [$imap->data['UIDVALIDITY'], 2, '1:3']));
check('vanished', rcube_imap_generic::uncompressMessageSet($imap->data['VANISHED'] ?? ''), [2, 3]);

if ($imap->getCapability('METADATA')) {
    check('set metadata', $imap->setMetadata('INBOX', ['/private/comment' => "Grüße\r\nzwei"]));
    check('metadata', $imap->getMetadata('INBOX', ['/private/comment'])['INBOX']['/private/comment'] ?? null, "Grüße\r\nzwei");
    check('delete metadata', $imap->deleteMetadata('INBOX', ['/private/comment']));
}
if ($imap->getCapability('ACL')) {
    check('my rights', in_array('a', $imap->myRights('INBOX')));
    check('set acl', $imap->setACL('Ausgang', 'anyone', 'lr'));
    check('acl', $imap->getACL('Ausgang')['anyone'] ?? null, ['l', 'r']);
    check('delete acl', $imap->deleteACL('Ausgang', 'anyone'));
}
check('quota', is_array($imap->getQuota('INBOX')));
check('rename', $imap->renameFolder('Ausgang', 'Post/Ausgang'));
check('delete', $imap->deleteFolder('Post/Ausgang'));
check('clear', $imap->clearFolder('Trash'));
$imap->closeConnection();
echo "done\n";
