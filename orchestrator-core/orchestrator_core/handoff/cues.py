"""The words by which a decision, something done, something to do or an open question is known.

English and German in breadth; French and Spanish for what is said most; a few words each of
Italian, Dutch, Portuguese, Chinese and Japanese. Each line is a regular expression; letters of
either case. What no cue knows is not in the draft: the owner reads it before it is stored.
"""

from __future__ import annotations

import re


def _any(*languages: str) -> re.Pattern[str]:
    lines = (line.strip() for language in languages for line in language.strip().splitlines())
    return re.compile("|".join(f"(?:{line})" for line in lines if line), re.IGNORECASE)


UNDECIDED = _any(
    r"""
    \b(?:haven['’]t|have not|hasn['’]t|has not|not)(?: yet| really| quite)? (?:decided|settled|agreed|chosen|sure|clear|certain)\b
    \bundecided\b|\bunclear\b|\bunresolved\b|\bto be (?:decided|determined|discussed|clarified|confirmed)\b|\btbd\b
    \bopen (?:question|point|issue)s?\b|\b(?:is|are|stays?|remains?) (?:still )?open\b(?! source)
    \b(?:i|we) (?:don['’]t|do not) (?:yet )?know\b|\bno idea (?:yet|if|whether|how|what|why)\b
    \blet['’]s (?:discuss|talk|think|decide)\b|\b(?:need|have) to (?:decide|discuss|clarify|think about)\b
    \bwonder(?:ing)? (?:if|whether|how|what|why)\b|\bup in the air\b|\bquestion (?:is|remains)\b
    \blet me think\b|\bi(?:['’]m| am) (?:torn|unsure|undecided|not convinced)\b|\bunsure\b|\bi doubt\b|\bno clue\b|\bcan['’]t (?:yet )?decide\b|\banyone['’]s guess\b|\bnot (?:yet )?clear\b|\btalk about .* first\b|\b(?:it |that )?depends on\b|\bnot (?:yet )?(?:settled|decided) (?:yet|on)\b
    """,
    r"""
    \b(?:noch )?offen (?:ist|bleibt|sind|bleiben)\b|\b(?:ist|bleibt|sind|steht) (?:noch )?(?:offen|unklar|ungeklärt)\b|\bnoch offen\b
    \bunklar\b|\boffene (?:frage|punkte?)\b|\bzu klären\b|\bungeklärt\b
    \bfrage (?:ist|bleibt|wäre)\b|\b(?:bleibt|stellt sich) (?:noch |nur )?die frage\b|\bkönnte sein\b|\bunsicher\b|\bunschlüssig\b|\bwissen wir erst\b|\bkeine ahnung\b|\b(?:ich )?überlege (?:noch|ich)\b|\bhängt (?:davon|von)\b|\b(?:muss|müssen) (?:ich |wir )?(?:noch |mal )*(?:darüber )?nachdenken\b
    \bnoch nicht (?:entschieden|klar|sicher|geklärt|festgelegt)\b|\bnicht (?:sicher|entschieden|geklärt)\b
    \bwei(?:ß|ss) (?:ich |wir )?(?:noch |leider )?nicht\b|\bwissen wir (?:noch )?nicht\b|\bich (?:noch )?nicht wei(?:ß|ss)\b
    \b(?:klären|entscheiden|besprechen|überlegen) wir\b|\bwir (?:noch )?(?:klären|entscheiden|besprechen|überlegen)\b
    \bmuss(?:en)? (?:ich |wir )?(?:noch |mal )?(?:klären|entscheiden|besprechen|überlegen)\b|\blass(?:t)? uns .*(?:besprechen|überlegen|klären)\b
    """,
    r"""
    \bje ne sais pas\b|\bon ne sait pas\b|\bnous ne savons pas\b|\bpas encore (?:décidé|sûr|clair|choisi)|\bpas sûre?\b
    \breste à (?:décider|savoir|voir|discuter)\b|\bquestion ouverte\b|\bà (?:décider|discuter|clarifier)\b
    \bj['’]hésite\b|\bà réfléchir\b|\bje me demande\b|\baucune idée\b|\bon verra\b|\bça dépend\b
    """,
    r"""
    \bno s[eé](?: si| qu[eé]| cu[aá]l| c[oó]mo| todav[ií]a| a[uú]n)\b|\bno sabemos\b|\btodav[ií]a no (?:s[eé]|sabemos|est[aá] claro|hemos decidido)\b
    \ba[uú]n no (?:s[eé]|sabemos|est[aá] claro|hemos decidido)\b|\bpor decidir\b|\bno est[aá] claro\b|\bduda abierta\b
    \bdudo\b|\bdepende de\b|\bme pregunto\b|\bni idea\b|\bhay que decidir\b
    """,
    r"""
    \bnon (?:so|sappiamo) (?:ancora|se)\b|\bda decidere\b|\bnon è (?:ancora )?chiaro\b
    \bweet (?:ik |nog )*niet\b|\bonduidelijk\b|\bnog niet (?:besloten|zeker|duidelijk)\b
    \bnão (?:sei|sabemos) (?:ainda|se)\b|\bainda não (?:sei|sabemos|decidi)|\ba decidir\b
    还没(?:有)?(?:决定|想好|确定)|不确定|待定|未定|まだ決め|決まっていない|わからない
    """,
)

DECIDED = _any(
    r"""
    \b(?:decision|decided|agreed|conclusion|verdict)\s*[:–—-]|^(?:agreed|decided)\b
    \b(?:we|i)(?:['’]ve| have|['’]d)?(?: now| finally| both| all)? (?:decided|settled|agreed|chose|picked|concluded|opted|committed)\b
    \blet['’]s (?:just |all |please )?(?:use|go|stick|keep|take|do|make|call|drop|remove|switch|move|put|ship|start|choose|pick|adopt|avoid|skip|not|stay|name|set|limit|build|write|have|leave|say)\b
    \b(?:we|i)(?:['’]ll| will|['’]re| are|['’]m| am| shall)(?: not)?(?: going to)? (?:go(?:ing)? with|us(?:e|ing)|stick(?:ing)? (?:to|with)|keep(?:ing)?|support(?:ing)?|adopt(?:ing)?|drop(?:ping)?)\b
    \b(?:we['’]re|we are|i['’]m|i am) (?:not going to|going with|sticking (?:to|with))\b|\bmade up my mind\b|^(?:ok(?:ay)?|fine|good|alright),? [\w -]{1,30} then\b
    \b(?:is|are|was|were|got) (?:now )?(?:settled|decided|agreed)\b|\bsettled on\b|\bfrom now on\b
    \b(?:we|i) (?:won['’]t|will not) (?!know)\w+|\bscratch that\b|\bchanged my mind\b|\bthe plan is\b|\b(?:as|was|were) agreed\b
    (?:^|\b(?:so|then|ok|okay|yes|right|well)\b,? )[\w`./-]+(?: [\w`./-]+){0,3} it is\b[.! ]*$
    """,
    r"""
    \b(?:entscheidung|beschluss|beschlossen|entschieden|vereinbart|vereinbarung|fazit|ergebnis)\s*:
    \b(?:entschieden|beschlossen|geeinigt|vereinbart|festgelegt|abgemacht)\b|\beinverstanden\b
    \blass(?:t)? uns\b(?!.*\b(?:besprechen|überlegen|klären|später|morgen|schauen|sehen)\b)|\beinigen wir uns auf\b
    \bwir (?:nehmen|verwenden|benutzen|nutzen|bleiben bei|machen das so|wechseln|gehen mit)\b
    \b(?:das|es|so) machen wir(?: so)?\b|\bmachen wir (?:es |das )?so\b|\b(?:es|dabei) bleibt (?:es|bei)\b|\bbleibt (?:es )?(?:bei|dabei|so)\b
    \bsteht (?:jetzt |nun |damit )?fest\b|\bab (?:jetzt|sofort)\b
    \bder plan ist\b|\bumentschieden\b|\bvom tisch\b|\b(?:wir haben|haben wir) (?:\w+ )?vor\b|^(?:gut|ok|okay),? dann\b|\b(?:so|das) passt(?: so)?\b|^passt so\b|\bwie (?:besprochen|vereinbart)\b
    """,
    r"""
    \b(?:on a|nous avons|j['’]ai|on avait|c['’]est) (?:finalement |donc )?(?:décidé|choisi|convenu|opté|tranché)\b|\bdécision\s*:
    \b(?:on|nous) (?:prend|prenons|garde|gardons|utilise|utilisons|part sur|partons sur|reste sur|restons sur|passe à|passons à)\b
    """,
    r"""
    \b(?:hemos|he|se ha) (?:decidido|elegido|acordado|optado|quedado)\b|\bdecisi[oó]n\s*:|\b(?:decidimos|acordamos|elegimos|quedamos en|nos quedamos con|usaremos)\b
    """,
    r"""
    \b(?:abbiamo|ho) (?:deciso|scelto)\b|\bdecisione\s*:|\bdeciso\s*:
    \b(?:we|wij|ik) (?:hebben|heb) .*\b(?:besloten|gekozen|afgesproken)\b|\bbesluit\s*:|\blaten we\b
    \b(?:decidimos|decidi|escolhemos|combinamos)\b|\bdecisão\s*:|\bficamos com\b
    决定|就用|确定用|定下来|に(?:決め|し)ました|ことにし|で行きましょう|に決定
    """,
)
"""Said in so many words."""

SETTLED = _any(
    r"""
    ^(?:(?:ok|okay|great|good|right|fine|yes|no),? )?(?:so|then|therefore|thus|hence) we (?!need|should|could|have to|must|might|may|can\b|would)\w+
    ,? so we (?!need|should|could|have to|must|might|may|can\b|would)\w+|\bwe (?:use|ship|go with|skip|keep|drop|only support)\b
    \b(?:it |this |that |\w+ )stays\b|\bwon['’]t be\b|\bno longer\b|\binstead of\b
    ^(?:(?:no|yes|ok|okay|actually|then|please|and|but),? )*(?:use|go with|go for|keep|drop|choose|pick|stick (?:to|with)|always|never|don['’]t|do not|avoid|skip|prefer|leave|make it|set it|call it|name it|only use)\b(?!.*\b(?:forget|worry)\b)
    \bi(?:['’]d| would)? (?:prefer|rather|go with|go for|pick|choose|take)\b|\bi(?:['’]m| am) (?:for|in favou?r of|going for)\b|^\W*option \w+\b|\bno need (?:for|to)\b|\bwe (?:never|always|only)\b
    \b(?:the|our|my) (?:budget|limit|target|goal|rule|default|scope)\b.* is\b
    """,
    r"""
    \b(?:nehmen|verwenden|benutzen|nutzen|ersetzen|streichen|behalten|lassen|machen|wechseln) wir\b(?! noch| später)
    \bwir (?:ersetzen|streichen|behalten|lassen|verzichten|machen)\b(?! noch)|\bbleib(?:t|en) (?!noch offen|offen|unklar)\w+
    \bnicht mehr\b|\bstatt(?:dessen)?\b
    \blieber\b|\bauf keinen fall\b|\bkeinesfalls\b|\bniemals\b|\b(?:ich|wir) (?:bevorzuge|bevorzugen|bin für|sind für|nehme)\b|\b(?:nehme|bevorzuge) ich\b|^(?:nimm|verwende|benutze|bleib bei)\b|\b(?:das|unser|mein) (?:budget|ziel|limit) (?:ist|liegt)\b|\bdie (?:grenze|regel) ist\b
    """,
    r"""
    \bon part (?:donc )?(?:sur|avec)\b|\bvamos a (?:usar|poner|hacer)\b|\bva bene così\b|\b(?:usiamo|teniamo|prendiamo)\b|\bwe (?:nemen|gebruiken|kiezen|houden)\b|\bvamos usar\b
    ^(?:alors |donc |non,? |oui,? )*(?:prenons|gardons|utilisons|partons|choisissons|oublions)\b|\bje (?:préfère|prends|garde)\b|\bplutôt\b|\bvamos con\b|\bprefiero\b|^mejor \w+|\busemos\b|\bpreferisco\b|\bprefiro\b|\bliever\b
    """,
)
"""Likely meant as a decision, when nothing else fits better."""

TODO = _any(
    r"""
    \bto-?do\b(?! with)|\bfixme\b|\b(?:remind me|remember to|don['’]t forget|do not forget|make sure to)\b|\bleft to do\b|\bfollow[- ]?up\b
    \b(?:still|also) (?:need|needs|have|has|must|want)\b|\b(?:i|we|you|someone|somebody|he|she|they) (?:still |also |just |really )?(?:need|needs|have|has|must|ought) to\b
    \b(?:i|we|you|someone|somebody|he|she|they) (?:still |also )?must\b|\b(?:got to|gotta)\b|\bwe should\b|\bi should\b|\bneeds? to be\b
    \bnext (?:step|time|up|on the list|week)\b|\b(?:for|until|till) (?:later|tomorrow|next \w+)\b|\b(?:is|are) (?:still )?(?:missing|outstanding|untested|pending)\b
    \b(?:haven['’]t|hasn['’]t|have not|has not|didn['’]t|did not) (?:yet )?(?!decid|settl|agre|cho)\w+.*\b(?:yet|so far|still)\b|\b(?:haven['’]t|have not) (?:yet )?\w+ed\b|\bnot \w+ed yet\b|\bnot yet \w+(?:ed|en)\b|\bstill (?:missing|broken|failing|fails|to do|to come|not)\b
    \b(?:what|all that) remains\b|\bremains to\b|\bremind \w+ (?:about|to|that)\b|\b(?:someone|somebody) should\b|\bhave yet to\b|\b(?:i['’]m|we['’]re|i am|we are) going to\b|\blet me forget\b|\bstill (?:red|empty|wrong|old|in progress)\b|\blike to re\w+\b|\bblocked (?:on|by)\b|\bwaiting (?:for|on)\b|\bdeadline\b|\bis due\b|\bdue (?:on|by|date)\b|\b(?:must|has to|have to|needs? to)\b|\bneeds? (?:a|an|some|more|another|work|fixing|testing)\b
    \bi(?:['’]ll| will) (?!be\b|never|not\b|have to|go with|use|stick|keep)\w+|^(?:yes,? |ok,? |yeah,? |but )?will (?!be\b|not\b)[a-z]+\b|\b(?:i|we) plan(?:ned)? to\b|\b(?:i['’]m|we['’]re) planning to\b
    \bi['’]ll .*\b(?:tomorrow|later|tonight|next \w+|on (?:mon|tues|wednes|thurs|fri|satur|sun)day|this weekend)\b|\bnot (?:yet )?(?:done|finished|implemented|tested|fixed)\b
    """,
    r"""
    \b(?:noch )?zu (?:tun|erledigen|machen)\b|\bnicht vergessen\b|\bdenk(?:t)? (?:bitte )?(?:noch )?(?:daran|an)\b|\berinner(?:e|t)? mich\b|\bsteht noch aus\b|\bstehen noch aus\b|\bausstehend\b
    \b(?:muss|müssen|müsste|müssten|sollte|sollten)\b|\bfehl(?:t|en)\b|\bwart(?:e|en) (?:ich |wir )?(?:noch |nur )?auf\b|\bkümmer\w* (?:ich )?mich\b|\bnoch nicht (?!entschieden|klar|sicher|geklärt|festgelegt)\w+|\bnoch keine?\w*\b|\b(?:frist|abgabe|termin|deadline) (?:ist|am|bis)\b|\bfällig\b|\bbis spätestens\b|\bals nächstes\b|\bnoch (?:leer|rot|kaputt|falsch|veraltet)\b|\bbis (?:montag|dienstag|mittwoch|donnerstag|freitag|samstag|sonntag|morgen|ende|zum)\b|\b(?:schicke|bringe|liefere|rufe|schreibe) ich .*\bmorgen\b
    \b(?:ich|wir|man|jemand|du|er|sie|ihr) (?:muss|müssen|musst|müsst|sollte|sollten|solltest)\b|\b(?:muss|müssen|sollte|sollten) (?:ich|wir|man|jemand|noch|er|sie)\b
    \b(?:ich werde|werde ich|wir werden|werden wir)\b(?! nicht)|\b(?:fehlt|fehlen) noch\b|\b(?:mache|mach|schreibe|teste|prüfe|kümmere) ich (?:mich )?(?:am|morgen|später|nächste|noch|dann|heute)\b|\bnächste[rsn]? (?:schritt|mal|woche)\b|\b(?:brauche|brauchen) (?:ich |wir )?noch\b
    """,
    r"""
    \bil (?:me |nous )?(?:faut|faudra|faudrait|reste|manque)\b|\breste à\b|\bà faire\b|\bje vais \w+(?:er|ir|re)\b|\b(?:je dois|nous devons|on doit)\b|\bn['’]oublie(?:z|r)? pas\b|\bla prochaine (?:fois|étape)\b|\bprochaine étape\b|\bplus tard\b
    \b(?:doit|doivent|devrait|devons)\b|\ben attente\b|\bj['’]attends\b|\bdate limite\b|\bpas encore (?!décid|sûr|clair|chois)\w+
    """,
    r"""
    \bhay que\b|\bvoy a \w+r\b|\b(?:tengo|tenemos|tienes) que\b|\bqueda(?:n)? (?:pendiente|por)\b|\bpendientes?\b|\bfaltan?\b|\bpor hacer\b|\bno olvid|\bpr[oó]xim[oa] (?:paso|vez)\b|\bdebemos\b|\bdebo\b
    \b(?:debe|deben|deber[ií]a)\b|\besperando\b|\bfecha l[ií]mite\b|\b(?:a[uú]n|todav[ií]a) no (?:he|ha|hemos|est[aá])\b
    """,
    r"""
    \b(?:devo|dobbiamo|bisogna)\b|\bresta da\b|\bda fare\b|\bmanca(?:no)? (?:ancora|solo)\b|\bnon dimenticare\b|\bprossimo passo\b
    \bmoet(?:en)? (?:nog|ik|we|wij)\b|\b(?:ik|we|wij) moet(?:en)?\b|\bnog te doen\b|\bniet vergeten\b|\bvolgende stap\b
    \b(?:tenho|temos) que\b|\b(?:preciso|precisamos)\b|\bpor fazer\b|\bpendente\b|\bpróximo passo\b
    待办|还(?:需要|要|得)|别忘了|下一步|まだ.{0,12}(?:必要|残)|しなければ|やること|忘れず
    """,
)

DONE = _any(
    r"""
    ^(?:ok,? |okay,? |great,? )?(?:done|fixed|finished|solved|merged|deployed|pushed|shipped|works|working|sorted|resolved)\b
    ^(?:edit: )?(?:added|removed|updated|renamed|created|moved|replaced|installed|tested|migrated|switched|upgraded|deleted|cleaned up|rewrote|reverted|published|released) \w
    \b(?:works?|working|runs?|running|passes|pass|builds?) (?:now|again|fine now)\b|\b(?:it|that|this|everything) (?:now )?(?:works|runs|passes)\b|\bnow (?:it )?(?:works|runs|passes)\b
    \b(?:that|this|it) (?:fixed|solved|worked|did|helped)\b|\b(?:it['’]s|it is|is|are|everything is) (?:now )?(?:working|running|green|passing|up and running|live)\b|\ball green\b|\bwent (?:through|well|fine|smoothly)\b|\b(?:has|have) (?:now |finally |both |all )?(?:arrived|landed|shipped|passed)\b|\bgot it (?:working|to work|running)\b|\bworks? (?:like|great|fine|perfectly|well)\b
    \b(?:i|we)(?:['’]ve| have)? (?:also |already |just |now )?(?:did|made|got|set up|checked|ran|changed|built|cleaned|moved|found|reported|asked|told|talked|rewrote|uploaded|downloaded|committed|documented)\b
    (?<!since )(?<!after )(?<!when )(?<!because )(?<!if )\b(?:i|we)(?:['’]ve| have)?(?: already| just| now)? (?:fixed|finished|wrote|written|added|removed|merged|deployed|implemented|migrated|installed|updated|upgraded|tested|renamed|created|moved|pushed|sent|booked|paid|signed|bought|called|ordered|completed|submitted|tagged|released|published|replaced|switched|deleted|reviewed|configured|backed up)\b
    \b(?:is|are|was|were|got|all) (?:now |finally |all )?(?:done|fixed|finished|complete|completed|merged|deployed|solved|resolved|in place|live)\b|\b\d+ tests? pass
    """,
    r"""
    \b(?:ist|sind|alles|schon|bereits|jetzt|wurde|wurden) (?:jetzt |nun |schon |alles )?(?:erledigt|fertig|gelöst|behoben|durch|abgeschlossen|umgesetzt)\b|^(?:erledigt|fertig|gelöst|läuft|klappt|funktioniert|behoben)\b
    \b(?:läuft|geht|klappt|funktioniert) (?:jetzt|wieder|nun|es|alles)\b|\bjetzt (?:läuft|geht|klappt|funktioniert)\b
    \b(?:hat|haben|es hat) (?:jetzt |nun |endlich |alles )?(?:geklappt|funktioniert|geholfen)\b|\btests? (?:sind|ist|laufen) (?:jetzt |alle |wieder )?(?:grün|durch)\b|\bgeschafft\b|\bhinbekommen\b|\b(?:steht|läuft|geht|funktioniert) wieder\b|\b(?:ist|sind) (?:jetzt |schon |bereits |inzwischen )?(?:bezahlt|bestellt|gebucht|verschickt|eingerichtet|installiert|repariert|getestet|online)\b|\balles (?:grün|gut)\b
    \b(?:hab|habe|haben|habs)\b.*\b(?:ge\w{2,}(?:t|en)|\w*(?:auf|aus|ein|ab|an|um|zu|vor|nach|weg|los|mit|hoch|her|hin)ge\w+|\w+iert|(?:be|ver|er|ent|unter|über)\w{2,}(?:t|en))\b
    """,
    r"""
    \bj['’]ai (?:déjà |bien |enfin )?(?:\w+é|\w+i|fait|mis|pris|écrit|reçu|vu|rendu|ouvert)e?s?\b|\bc['’]est (?:enfin |déjà )?(?:réparé|installé|payé|envoyé|fait|réglé|terminé|bon)\b|\bça marche\b|^(?:terminé|réglé|résolu|fait)\b
    """,
    r"""
    \bya (?:\w+é|\w+í|\w+amos|\w+imos|est[aá]|funciona|he|hemos)(?=[\s,.!]|$)|\b(?:he|hemos) \w+(?:ado|ido|to|cho)\b|^(?:listo|hecho|terminado|resuelto)\b|\bfunciona ahora\b|\bahora funciona\b
    """,
    r"""
    \bho (?:già |appena )?\w+(?:ato|uto|ito|tto|sto)\b|^(?:fatto|finito|risolto)\b|\b(?:ora|adesso) funziona\b
    ^(?:klaar|gedaan|opgelost)\b|\bwerkt (?:nu|weer)\b|\bik heb .*\bge\w+(?:d|t|en)\b
    \bjá (?:\w+ei|\w+i|está|funciona)\b|^(?:feito|pronto|resolvido)\b
    完成了|搞定|修好了|已经(?:完成|解决|做好)|できました|終わりました|直りました|完了
    """,
)

NEGATED = re.compile(
    r"\b(?:not|never|nicht|noch kein\w*|kein\w*|pas|jamais|nunca|non|niet|não|no (?:he|ha|hemos|est[aá]|funciona))\b|n['’]t\b|没|ません",
    re.IGNORECASE,
)
"""What was not done is not done."""

CONDITIONAL = re.compile(
    r"^(?:and |but |und |aber )?(?:if|unless|suppose|should we|in case|wenn|falls|sofern|sollten? (?:wir|ich|das|es)|si|au cas où|en caso|se|als|caso|如果|もし)\b",
    re.IGNORECASE,
)
"""What would be, not what is."""

REQUEST = _any(
    r"""
    ^(?:please |can you |could you |would you |i want (?:you )?to |i['’]d like (?:you )?to |i need (?:you )?to |we want to |now |then |and |ok,? |hi,? |hello,? |hey,? )*(?:please|help|show|write|explain|give|make|create|find|check|fix|tell|list|compare|translate|summari[sz]e|add|describe|draft|review|suggest|plan|look|convert|generate|build|calculate|prepare|rewrite|improve|shorten|restructure|sort|search|analy[sz]e|walk me|teach|recommend|draw|name|define|correct|proofread|refactor|debug|implement|rename|remove|continue)\b
    ^(?:can|could|would|will) you\b|^i (?:want|would like|need) (?:you )?to\b|^i['’]d like\b|^we (?:want|need) to\b
    """,
    r"""
    ^(?:bitte |und |dann |jetzt |nun |hallo,? |ok,? |kannst du |könntest du |kannst du mir )*(?:bitte|hilf|zeig|schreib|erklär|gib|mach|erstell|find|such|prüf|korrigier|sag|nenn|list|vergleich|übersetz|fass|füg|beschreib|entwirf|plan|berechne|schlag|überarbeite|kürz|verbesser|formulier|bereite|ordne|sortier|analysier)(?:e|t|est)?\b
    ^(?:kannst|könntest|würdest) du\b|^ich (?:möchte|will|hätte gern|brauche)\b|^wir (?:möchten|wollen|brauchen)\b
    """,
    r"""
    ^(?:s['’]il (?:te|vous) pla[iî]t,? )?(?:aide|montre|écris|explique|donne|fais|crée|trouve|vérifie|corrige|dis|compare|traduis|résume|propose|prépare|peux-tu|pouvez-vous|pourrais-tu|je voudrais|j['’]aimerais)\b
    ^(?:por favor,? )?(?:ay[uú]d|mu[eé]str|escrib|explic|dame|dime|haz|crea|busca|revisa|corrige|compara|traduce|resume|puedes|podr[ií]as|quiero|necesito|quisiera)
    ^(?:per favore,? )?(?:aiuta|mostra|scrivi|spiega|dammi|dimmi|fai|crea|trova|controlla|puoi)|^(?:help|laat|schrijf|leg|geef|maak|zoek|kun je|kan je)\b|^(?:ajuda|mostra|escreve|explica|dá-me|faz|cria|podes|você pode)
    ^(?:请|帮我|給我|给我|教えて)|してください|てくれ
    """,
)

PROPOSAL = _any(
    r"""
    \b(?:i|we)(?:['’]d| would)? (?:suggest|recommend|propose|advise)\b|\bmy (?:suggestion|recommendation|proposal|advice)\b|\blet['’]s\b|\bwe could\b
    \b(?:ich|wir) (?:schlage|schlagen|empfehle|empfehlen|würde|würden)\b|\b(?:mein|unser) (?:vorschlag|rat)\b|\blass(?:t)? uns\b
    \bje (?:propose|suggère|recommande|conseille)\b|\bma (?:proposition|suggestion)\b|\b(?:propongo|sugiero|recomiendo)\b|\bmi (?:propuesta|sugerencia)\b
    \b(?:propongo|consiglio|suggerisco)\b|\b(?:ik stel voor|mijn voorstel)\b|\b(?:proponho|sugiro|recomendo)\b|我建议|提案
    """
)

ACCEPTANCE = re.compile(
    r"^\W*(?:yes|yep|yeah|ok(?:ay)?|sure|agreed|sounds (?:good|great)|good (?:idea|plan)|perfect|great|fine|go ahead|do (?:it|that)|makes sense|right|exactly|deal"
    r"|ja|jo|gut|genau|einverstanden|passt|klingt gut|gute idee|super|perfekt|mach (?:das|es|mal)|stimmt|abgemacht|gern(?:e)?"
    r"|oui|d['’]accord|parfait|très bien|bonne idée|vas-y|s[ií]|vale|de acuerdo|perfecto|claro|buena idea|sì|va bene|d['’]accordo|perfetto"
    r"|goed|prima|akkoord|sim|certo|tudo bem|好(?:的)?|可以|行|はい|いいです|そうしましょう)(?:\b|(?=[\s,.!，。！]|$))",
    re.IGNORECASE,
)
ASSENT_ONLY = 60
"""An acceptance this short takes up what was proposed and says nothing of its own."""
_DO_THAT = re.compile(
    r"\b(?:do (?:that|it|so)|go ahead|that one|mach (?:das|es)|so machen|fais(?:ons)? (?:ça|cela)|hazlo|fallo|doe dat|faz isso)\b",
    re.IGNORECASE,
)


def takes_up_all(text: str) -> bool:
    """Whether the message says that what was proposed shall be done, whatever words it was in."""
    return bool(_DO_THAT.search(text[:ASSENT_ONLY]))


LEADS: dict[str, re.Pattern[str]] = {
    "undecided": re.compile(
        r"open (?:questions?|points?|issues?)|questions?|unclear|to discuss|undecided|offene (?:fragen|punkte)|zu klären|"
        r"fragen|questions? ouvertes?|preguntas(?: abiertas)?|dudas|domande aperte|open vragen|perguntas",
        re.IGNORECASE,
    ),
    "todo": re.compile(
        r"(?:the )?next(?: steps?)?|to-?dos?|to do|still to do|remaining|tasks?|action items?|left to do|nächste schritte|als nächstes|"
        r"noch zu (?:tun|erledigen)|aufgaben|offen|prochaines étapes|à faire|próximos pasos|pendientes?|por hacer|tareas|"
        r"prossimi passi|da fare|volgende stappen|te doen|próximos passos|por fazer",
        re.IGNORECASE,
    ),
    "decided": re.compile(
        r"decisions?|decided|agreed|we agreed|what we decided|entscheidungen|entschieden|beschlossen|beschlüsse|décisions?|"
        r"décidé|decisiones|decidido|decisioni|besluiten|decisões",
        re.IGNORECASE,
    ),
    "done": re.compile(
        r"done|finished|completed|erledigt|fertig|fait|terminé|hecho|fatto|gedaan|feito", re.IGNORECASE
    ),
}
"""What a heading, or a line with a colon, says about the list under it: it must say nothing else."""


def lead_kind(lead: str) -> str | None:
    plain = lead.strip().strip("*_#: ").strip()
    for kind, pattern in LEADS.items():
        if pattern.fullmatch(plain):
            return kind
    return None
