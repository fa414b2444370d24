# Drives Ruby's net-imap, whose parser takes nothing that is not grammatical.
# Arguments: port, user, certificate.
require 'net/imap'
require 'openssl'

port, user, certificate = ARGV
store = OpenSSL::X509::Store.new
store.add_file(certificate)

def check(what, is, wanted = true)
  return if is == wanted
  warn "#{what}: got #{is.inspect}, wanted #{wanted.inspect}"
  exit 1
end

def connect(port, user, store)
  imap = Net::IMAP.new('localhost', port: port.to_i,
                       ssl: { cert_store: store, verify_mode: OpenSSL::SSL::VERIFY_PEER })
  imap.authenticate('PLAIN', user, 'secret')
  imap
end

def letter(number, subject)
  "From: =?UTF-8?Q?Ann_M=C3=BCller?= <ann@example.org>\r\nTo: \"Bob, \\\"the\\\" builder\" <bob@example.org>, " \
    "undisclosed: ;\r\nSubject: #{subject}\r\nDate: Mon, 0#{number} Nov 2026 10:00:00 +0100\r\n" \
    "Message-ID: <#{number}@example.org>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nHello #{number}\r\n" \
    "--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninner text\r\n--b--\r\n"
end

imap = connect(port, user, store)
check 'namespace', imap.namespace.personal.first.delim, '/'
imap.create('Projekte/2026')
imap.create(Net::IMAP.encode_utf7('Entwürfe'))
check 'list', imap.list('', '*').map(&:name).include?(Net::IMAP.encode_utf7('Entwürfe'))
imap.subscribe('Projekte/2026')
check 'lsub', imap.lsub('', 'Proj*').map(&:name), ['Projekte/2026']

(1..4).each do |number|
  imap.append('INBOX', letter(number, %w[pear apple fig apple][number - 1]), number == 1 ? [:Seen] : [], Time.at(1_790_000_000 + number))
end
imap.select('INBOX')
check 'exists', imap.responses['EXISTS'].last, 4
check 'uidvalidity', imap.responses['UIDVALIDITY'].last.positive?
data = imap.fetch(1..4, ['UID', 'FLAGS', 'ENVELOPE', 'BODYSTRUCTURE', 'INTERNALDATE', 'RFC822.SIZE', 'BODY.PEEK[HEADER.FIELDS (SUBJECT)]'])
check 'subjects', data.map { |d| d.attr['ENVELOPE'].subject }, %w[pear apple fig apple]
check 'group', data.first.attr['ENVELOPE'].to.map(&:mailbox).include?('bob')
check 'structure', data.first.attr['BODYSTRUCTURE'].parts.map(&:media_type), %w[TEXT MESSAGE]
check 'flags', data.first.attr['FLAGS'].include?(:Seen)
check 'size', data.last.attr['RFC822.SIZE'], letter(4, 'apple').bytesize
check 'text', imap.uid_fetch(3, 'BODY[1]').first.attr['BODY[1]'], 'Hello 3'
check 'nested', imap.uid_fetch(3, 'BODY.PEEK[2.HEADER]').first.attr['BODY[2.HEADER]'], "Subject: inner\r\n\r\n"
check 'search', imap.search(['SUBJECT', 'apple', 'UNSEEN']), [2, 4]
check 'sort', imap.sort(['SUBJECT', 'REVERSE', 'DATE'], ['ALL'], 'UTF-8'), [4, 2, 3, 1]
# Two with one subject and neither a reply: a common parent that is no message.
check 'thread', imap.thread('REFERENCES', ['ALL'], 'UTF-8').map(&:seqno), [1, nil, 3]
imap.store(2, '+FLAGS', [:Flagged, '$Label1'])
check 'stored', imap.fetch(2, 'FLAGS').first.attr['FLAGS'].include?('$Label1')
imap.uid_copy(2, 'Projekte/2026')
imap.uid_move(4, 'Projekte/2026')
imap.uid_store(3, '+FLAGS', [:Deleted])
check 'expunge', imap.expunge, [4, 3] # the first by MOVE
check 'status', imap.status('Projekte/2026', %w[MESSAGES UIDNEXT UNSEEN]).values_at('MESSAGES', 'UIDNEXT', 'UNSEEN'), [2, 3, 2]

# IDLE: told of what another connection delivers.
other = connect(port, user, store)
told = nil
imap.idle(20) do |response|
  if response.respond_to?(:name) && response.name == 'EXISTS'
    told = response.data
    imap.idle_done
  elsif response.is_a?(Net::IMAP::ContinuationRequest)
    other.append('INBOX', letter(5, 'new'), [], Time.now)
  end
end
check 'idle', told, 3
imap.examine('INBOX')
refused = begin
  imap.store(1, '+FLAGS', [:Deleted])
rescue Net::IMAP::NoResponseError
  true
end
check 'examined', refused
imap.rename('Projekte', 'Alt')
check 'renamed', imap.list('', 'Alt/%').map(&:name), ['Alt/2026']
imap.delete('Alt/2026')
[other, imap].each(&:logout)
puts 'done'
