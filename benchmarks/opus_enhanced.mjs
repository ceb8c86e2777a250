// Decode an Ogg Opus file with Opus 1.5's speech enhancement to a WAV file of mono float32, 48 kHz.
//
//     node opus_enhanced.mjs none|lace|nolace IN.opus OUT.wav
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [enhancement, source, target] = process.argv.slice(2);
// npm installs into the working directory, which need not be that of this file.
const found = createRequire(`${process.cwd()}/`).resolve("ogg-opus-decoder");
const { OggOpusDecoder } = await import(pathToFileURL(found));
const decoder = new OggOpusDecoder({ speechQualityEnhancement: enhancement });
await decoder.ready;
const { channelData } = await decoder.decodeFile(new Uint8Array(readFileSync(source)));
decoder.free();

const samples = Buffer.from(channelData[0].slice().buffer);
const head = Buffer.alloc(44);
head.write("RIFF", 0);
head.writeUInt32LE(36 + samples.length, 4);
head.write("WAVEfmt ", 8);
head.writeUInt32LE(16, 16);
head.writeUInt16LE(3, 20); // IEEE float
head.writeUInt16LE(1, 22);
head.writeUInt32LE(48000, 24);
head.writeUInt32LE(4 * 48000, 28);
head.writeUInt16LE(4, 32);
head.writeUInt16LE(32, 34);
head.write("data", 36);
head.writeUInt32LE(samples.length, 40);
writeFileSync(target, Buffer.concat([head, samples]));
