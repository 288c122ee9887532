// A Nephele WebDAV server without login, on loopback: node server.mjs PORT FOLDER
import express from 'express';
import nephele from 'nephele';
import FileSystem from '@nephele/adapter-file-system';
import Nobody from '@nephele/authenticator-none';

const [port, root] = process.argv.slice(2);
const made = (kind, options) => new (kind.default ?? kind)(options);
const app = express();
app.use('/', nephele({ adapter: made(FileSystem, { root }), authenticator: made(Nobody) }));
app.listen(Number(port), '127.0.0.1');
