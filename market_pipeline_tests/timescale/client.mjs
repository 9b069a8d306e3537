// What belongs to one client of a backend that all of them share: names of prepared statements,
// settings, and the channels that it listens to.

import { closing, letterOf, message, query, stringAt, strings } from './messages.mjs'

const SETTING = /^\s*(set|reset)\s+(?:session\s+)?(?!(?:local|transaction|constraints)\b)([\w.]+)/i
const SEVERAL = /;\s*\S/
const LISTEN = /^\s*listen\s+"?(\w+)/i
const DEALLOCATE_ALL = /^\s*deallocate\s+(?:prepare\s+)?all\b/i
const DEALLOCATE = /^\s*deallocate\s+(?:prepare\s+)?"?(\w+)"?/i
const OPTION = /(?:-c\s*|--)([\w.]+)=((?:\\.|\S)+)/g
const NOT_SETTINGS = new Set(['user', 'database', 'replication', 'client_encoding', 'options'])

export const isOfCopy = (received) => 'dcf'.includes(letterOf(received))

export class Client {
  pending = [] // messages that the backend has not been given
  pendingBytes = 0
  isGone = false
  isMidway = false // what the backend has been given ends before a Sync
  isStale = false // settings in force are not `settings`
  channels = new Set()
  #isMidwayThen = false // when it has been given the rest
  #statements = new Map() // by their names in the backend
  #abandoned = []
  #unnamed = ''
  #number = 0
  #defaults = new Map()
  #settings = new Map()
  #asked = [] // changes of settings without an answer
  #made = [] // and those that the end of the transaction decides on

  constructor(id, socket) {
    this.id = id
    this.socket = socket
  }

  // Parameters of the start-up message are settings, and so are `-c name=value` among the options.
  start(body) {
    const words = body.toString().split('\0')
    for (let i = 0; words[i]; i += 2) {
      const [name, value] = [words[i], words[i + 1]]
      if (name === 'options') {
        for (const [, key, text] of value.matchAll(OPTION)) {
          this.#default(key, text.replace(/\\(.)/g, '$1'))
        }
      } else if (!NOT_SETTINGS.has(name)) this.#default(name, value)
    }
  }

  #default(name, value) {
    const quoted = [name, value].map((text) => `'${text.replaceAll("'", "''")}'`)
    this.#defaults.set(name, `SELECT set_config(${quoted.join()}, false)`)
  }

  get settings() {
    return [...this.#defaults.values(), ...this.#settings.values()]
  }

  receive(received) {
    const letter = letterOf(received)
    if ('PBDECH'.includes(letter)) this.#isMidwayThen = true
    if ('QS'.includes(letter)) this.#isMidwayThen = false
    const translated = this.#translate(received)
    this.pending.push(translated)
    this.pendingBytes += translated.length
  }

  // Rows of a COPY that has ended already mean nothing.
  dropRows() {
    this.pending = this.pending.filter((each) => !isOfCopy(each))
  }

  take() {
    const taken = Buffer.concat(this.pending)
    this.pending = []
    this.pendingBytes = 0
    this.isMidway = this.#isMidwayThen
    return taken
  }

  #translate(received) {
    const letter = letterOf(received)
    if (letter === 'Q') {
      const [sql] = stringAt(received, 5)
      this.#note(sql)
      return query(this.#rewritten(sql))
    }
    if (letter === 'P') return this.#parse(received)
    if (letter === 'B') {
      const [portal, afterPortal] = stringAt(received, 5)
      const [name, rest] = stringAt(received, afterPortal)
      this.#note(this.#statements.get(this.#named(name)) ?? '') // each time one is executed
      const begin = strings(portal, this.#named(name))
      return message('B', Buffer.concat([begin, received.subarray(rest)]))
    }
    if ((letter === 'D' || letter === 'C') && received[5] === 0x53) {
      const name = this.#named(stringAt(received, 6)[0])
      if (letter === 'C') this.#statements.delete(name)
      return message(letter, strings('S' + name))
    }
    return received
  }

  // The statement as the backend is to see it, which knows the names of all clients' statements.
  #rewritten(sql) {
    if (DEALLOCATE_ALL.test(sql)) {
      this.#abandoned.push(...this.#statements.keys())
      this.#statements.clear()
      return 'UNLISTEN nobody' // does nothing
    }
    const name = DEALLOCATE.exec(sql)?.[1]
    return name ? `DEALLOCATE "${this.#named(name)}"` : sql
  }

  // The unnamed statement has a new name each time: drivers parse it in one round trip and execute
  // it in another, between which the backend may serve another client.
  #parse(received) {
    const [name, afterName] = stringAt(received, 5)
    const [sql, rest] = stringAt(received, afterName)
    const rewritten = this.#rewritten(sql)
    if (!name) {
      if (this.#statements.delete(this.#unnamed)) this.#abandoned.push(this.#unnamed)
      this.#unnamed = `${this.id}#${this.#number++}`
    }
    this.#statements.set(this.#named(name), sql)
    const begin = strings(this.#named(name), rewritten)
    return message('P', Buffer.concat([begin, received.subarray(rest)]))
  }

  #named(name) {
    return name ? `${this.id}.${name}` : this.#unnamed
  }

  // Messages that end statements that can no longer be executed.
  forget() {
    const unwanted = this.isGone ? [...this.#abandoned, ...this.#statements.keys()] : this.#abandoned
    this.#abandoned = []
    return unwanted.map(closing)
  }

  get litter() {
    return this.#abandoned.length
  }

  #note(sql) {
    const setting = SEVERAL.test(sql) ? null : SETTING.exec(sql)
    if (setting) {
      const [, verb, name] = setting.map((word) => word.toLowerCase())
      this.#asked.push({ name, isSet: verb === 'set', sql })
    }
    const channel = LISTEN.exec(sql)?.[1]
    if (channel) this.channels.add(channel)
  }

  // Learn from an answer which changes of settings were made.
  observe(answer) {
    const letter = letterOf(answer)
    const tag = letter === 'C' ? stringAt(answer, 5)[0] : ''
    if (/^(SET|RESET)$/.test(tag) && this.#asked.length) this.#made.push(this.#asked.shift())
    if (letter === 'E') this.#asked = []
    if (letter === 'E' || tag === 'ROLLBACK') this.#made = []
    if (letter !== 'Z' || answer[5] !== 0x49) return
    for (const made of this.#made) this.#apply(made)
    this.#made = []
  }

  #apply({ name, isSet, sql }) {
    if (name === 'all') this.#settings.clear()
    else this.#settings.delete(name)
    if (isSet) this.#settings.set(name, sql)
    else this.isStale = true // it is now PostgreSQL's default, not this client's
  }
}
